from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._options import AccountOptions
from restwell.accounts._passwords.jobs import send_password_changed
from restwell.accounts._passwords.reauthentication import Reauthentication, WrongPassword
from restwell.accounts._passwords.schemas import PasswordChangeRequest, RegistrationRequest
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import EmailTaken, UserService
from restwell.auth import Actor, Passwords
from restwell.database import Database, UniqueViolation
from restwell.jobs import Jobs


class PasswordService:
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        passwords: Passwords,
        users: UserService,
        reauthentication: Reauthentication,
        audit: AuditLog,
        options: AccountOptions,
    ) -> None:
        self._database = database
        self._jobs = jobs
        passwords.policy = options.password_policy
        self._passwords = passwords
        self._users = users
        self._reauthentication = reauthentication
        self._audit = audit

    async def register(
        self, registration: RegistrationRequest, *, role: str | None = None, accept_language: str = ""
    ) -> User:
        """Create an account. Raises EmailTaken, PasswordRejected, PasswordsBusy."""
        password_hash = await self._passwords.hash_new(registration.password, registration.email, registration.name)
        try:
            async with self._database.transaction() as tx:
                return await self._users.register_in(
                    tx,
                    registration.email,
                    registration.name,
                    password_hash=password_hash,
                    role=role,
                    accept_language=accept_language,
                    profile=registration.profile,
                )
        except UniqueViolation:
            raise EmailTaken from None

    async def change(self, actor: Actor, change: PasswordChangeRequest) -> None:
        """Set a new password, revoke the other sessions and notify the owner.

        Raises WrongPassword, TooManyAttempts, PasswordRejected, PasswordsBusy.
        """
        user = await self._users.get_user(actor.id)
        old_hash = await self._reauthentication.check(actor, change.current_password)
        new_hash = await self._passwords.hash_new(change.new_password, user.email, user.name, field="$.new_password")
        async with self._database.transaction() as tx:
            if not await self._users.change_password_in(tx, actor.id, old_hash, new_hash, keep=actor.session_id):
                raise WrongPassword  # changed concurrently: the given password is no longer the current one
            await self._audit.record(tx, SecurityEventType.PASSWORD_CHANGED, actor.id)
            await self._jobs.enqueue(tx, send_password_changed, user_id=actor.id)
