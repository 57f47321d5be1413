from datetime import UTC, datetime
from uuid import UUID

from restwell.auth import Passwords
from restwell.database import Database, Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError
from restwell.jobs import Jobs
from restwell.retention import DeletesExpired
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.identities.service import IdentityService
from shop.mfa.service import MfaService
from shop.one_time_tokens import hash_token
from shop.password_resets import queries
from shop.password_resets.jobs import send_reset_code
from shop.users.service import UserService


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
        identities: IdentityService,
        mfa: MfaService,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._passwords = passwords
        self._users = users
        self._identities = identities
        self._mfa = mfa
        self._audit = audit
        users.hooks.on_email_changed.append(self.revoke_codes_in)

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
        async with self._database.transaction() as tx:
            user_id = await tx.find(queries.use, match_hash=hash_token(code), now=datetime.now(UTC))
            user = await self._users.find_active(user_id, tx) if user_id is not None else None
            if user is None:
                raise InvalidResetCode
            await self._users.reset_password_in(tx, user, password_hash)
            if not user.email_verified:
                await self._identities.delete_in(tx, user.id)
                await self._mfa.delete_in(tx, user.id)
            await self.revoke_codes_in(tx, user.id)
            await self._audit.record(tx, SecurityEventType.PASSWORD_RESET, user.id)

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Invalidate all unused codes of the user, in the caller's transaction."""
        await tx.run(queries.revoke_unused, match_user_id=user_id, now=datetime.now(UTC))

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of expired codes. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now)
