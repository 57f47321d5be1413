from datetime import UTC, datetime
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._codes import hash_token
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._passwords import queries
from restwell.accounts._passwords.jobs import send_reset_code
from restwell.accounts._users.service import UserService
from restwell.auth import Passwords
from restwell.database import Database, Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError
from restwell.jobs import Jobs
from restwell.retention import DeletesExpired


class InvalidResetCode(AppError):
    code, status = "invalid_reset_code", 400
    message = "The code is invalid, already used, or expired after 30 minutes. Request a new one."


class PasswordResetService(DeletesExpired):
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        passwords: Passwords,
        users: UserService,
        hooks: AccountHooks,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._passwords = passwords
        self._users = users
        self._audit = audit
        hooks.on_email_changed.append(self.revoke_codes_in)
        hooks.on_password_changed.append(self.revoke_codes_in)
        hooks.on_deleted.append(self.revoke_codes_in)

    async def request(self, email: EmailAddress) -> None:
        """Queue an email with a code.

        The account is looked up by the job, so that neither the response nor its time reveals whether it
        exists.
        """
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_reset_code, email=email)

    async def reset(self, code: str, password: str) -> None:
        """Set a new password and revoke all sessions. Raises InvalidResetCode, PasswordRejected, PasswordsBusy.

        The code proves control of the email address.
        """
        code_hash = hash_token(code)
        user_id = await self._database.primary.find(queries.user_of, match_hash=code_hash, now=datetime.now(UTC))
        owner = await self._users.find_active(user_id) if user_id is not None else None
        if owner is None:
            raise InvalidResetCode
        password_hash = await self._passwords.hash_new(password, owner.email, owner.name)
        async with self._database.transaction() as tx:
            used = await tx.find(queries.use, match_hash=code_hash, now=datetime.now(UTC))
            user = await self._users.find_active(used, tx) if used is not None else None
            if user is None:
                raise InvalidResetCode
            await self._users.reset_password_in(tx, user, password_hash)
            await self._audit.record(tx, SecurityEventType.PASSWORD_RESET, user.id)

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Invalidate all unused codes of the user, in the caller's transaction."""
        await tx.run(queries.revoke_unused, match_user_id=user_id, now=datetime.now(UTC))

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of expired codes. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now)
