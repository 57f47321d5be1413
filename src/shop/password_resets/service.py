"""Rules of resetting a password."""

from datetime import UTC, datetime
from uuid import UUID

from restwell.auth import Passwords
from restwell.database import Database, Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError
from restwell.jobs import Jobs
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.one_time_tokens import hash_token
from shop.password_resets import queries
from shop.password_resets.jobs import send_reset_code
from shop.sessions.credentials import delete_credentials_in
from shop.sessions.service import SessionService


class InvalidResetCode(AppError):
    code, status = "invalid_reset_code", 400
    message = "The code is wrong, was used before, or is more than 30 minutes old. Ask for a new one."


class PasswordResetService:
    def __init__(
        self, database: Database, jobs: Jobs, passwords: Passwords, sessions: SessionService, audit: AuditLog
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._passwords = passwords
        self._sessions = sessions
        self._audit = audit

    async def request(self, email: EmailAddress) -> None:
        """Have a code sent, if there is such an account. That is found out later, so nobody can tell by the answer or its time."""
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_reset_code, email=email)

    async def reset(self, code: str, password: str) -> None:
        """Set the new password, once for each code, and end every session. Raises InvalidResetCode, CommonPassword.

        Whoever has the code reads the address. If nobody had shown that before, whoever made the account may be somebody else who
        waits for its owner to come: no way in of his stays, nor a change of the address that he has begun.
        """
        password_hash = await self._passwords.hash_new(password)
        now = datetime.now(UTC)
        async with self._database.transaction() as tx:
            user_id = await tx.find(queries.use, match_hash=hash_token(code), now=now)
            if user_id is None:
                raise InvalidResetCode
            verified = await tx.find(queries.verified, id=user_id)
            if verified is None:
                raise InvalidResetCode
            await tx.run(queries.set_password_hash, user_id=user_id, password_hash=password_hash, now=now)
            await tx.run(queries.delete_email_verifications, owner_id=user_id)
            if not verified:
                await delete_credentials_in(tx, user_id)
            await self.revoke_codes_in(tx, user_id)
            await self._sessions.end_all_in(tx, user_id)
            await self._audit.record(tx, SecurityEventType.PASSWORD_RESET, user_id)

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Codes that were sent count no more, as part of a larger change."""
        await tx.run(queries.revoke_unused, owner_id=user_id, now=datetime.now(UTC))
