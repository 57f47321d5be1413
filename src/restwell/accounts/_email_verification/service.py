from datetime import UTC, datetime
from uuid import UUID

from msgspec import UnsetType

from restwell.accounts._codes import hash_token
from restwell.accounts._email_verification import queries
from restwell.accounts._email_verification.jobs import send_email_changed, send_verification_code, send_welcome
from restwell.accounts._email_verification.schemas import EmailVerificationRequest
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._passwords.reauthentication import Reauthentication, WrongPassword
from restwell.accounts._users.service import EmailTaken, UserService
from restwell.auth import Actor
from restwell.database import Database, Transaction, UniqueViolation
from restwell.errors import AppError
from restwell.jobs import Jobs
from restwell.retention import DeletesExpired


class InvalidVerificationCode(AppError):
    code, status = "invalid_verification_code", 400
    message = "The code is invalid, already used, or expired after 24 hours. Request a new one."


class EmailVerificationService(DeletesExpired):
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        reauthentication: Reauthentication,
        users: UserService,
        hooks: AccountHooks,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._users = users
        self._reauthentication = reauthentication
        hooks.on_registered.append(self.send_welcome_in)
        hooks.on_email_changed.append(self.revoke_codes_in)
        hooks.on_password_changed.append(self.revoke_codes_in)
        hooks.on_deleted.append(self.revoke_codes_in)

    async def request(self, actor: Actor, verification: EmailVerificationRequest) -> None:
        """Queue an email with a code. For a new address, raises WrongPassword and TooManyAttempts."""
        email = verification.email
        user = await self._users.find_active(actor.id)
        if user is None or email != user.email:
            if isinstance(verification.current_password, UnsetType):
                raise WrongPassword
            await self._reauthentication.check(actor, verification.current_password)
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_verification_code, user_id=actor.id, email=email)

    async def complete(self, code: str) -> None:
        """Mark the address as verified, and make it the account's address.

        Raises InvalidVerificationCode, EmailTaken.
        """
        try:
            async with self._database.transaction() as tx:
                verified = await tx.find(queries.use, match_hash=hash_token(code), now=datetime.now(UTC))
                user = await self._users.find_active(verified.user_id, tx) if verified is not None else None
                if verified is None or user is None:
                    raise InvalidVerificationCode
                await self._users.set_verified_email_in(tx, user, verified.email)
                if verified.email != user.email:
                    await self._jobs.enqueue(tx, send_email_changed, email=user.email, language=user.language)
        except UniqueViolation:
            raise EmailTaken from None

    async def send_welcome_in(self, tx: Transaction, user_id: UUID) -> None:
        """Enqueue the welcome email of a new account, in the caller's transaction."""
        await self._jobs.enqueue(tx, send_welcome, user_id=user_id)

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Invalidate all pending codes of the user, in the caller's transaction."""
        await tx.run(queries.delete_codes, match_user_id=user_id)

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of expired codes. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now)
