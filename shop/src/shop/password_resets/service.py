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
    message = "The code is invalid, already used, or expired after 30 minutes. Request a new one."


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
        """Queue an email with a code.

        The account is looked up by the job, so that neither the response nor its time reveals whether it
        exists.
        """
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_reset_code, email=email)

    async def reset(self, code: str, password: str) -> None:
        """Set a new password and revoke all sessions. Raises InvalidResetCode, CommonPassword, PasswordsBusy.

        The code proves control of the email address. If the address was not verified before, the account may have
        been created by an attacker (pre-hijacking): its other credentials and pending email verifications are deleted.
        """
        password_hash = await self._passwords.hash_new(password)
        now = datetime.now(UTC)
        async with self._database.transaction() as tx:
            user_id = await tx.find(queries.use, match_hash=hash_token(code), now=now)
            if user_id is None:
                raise InvalidResetCode
            email_verified = await tx.find(queries.is_email_verified, id=user_id)
            if email_verified is None:
                raise InvalidResetCode
            await tx.run(queries.set_password_hash, user_id=user_id, password_hash=password_hash, now=now)
            await tx.run(queries.delete_email_verifications, match_user_id=user_id)
            if not email_verified:
                await delete_credentials_in(tx, user_id)
            await self.revoke_codes_in(tx, user_id)
            await self._sessions.revoke_all_in(tx, user_id)
            await self._audit.record(tx, SecurityEventType.PASSWORD_RESET, user_id)

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Invalidate all unused codes of the user, in the caller's transaction."""
        await tx.run(queries.revoke_unused, match_user_id=user_id, now=datetime.now(UTC))
