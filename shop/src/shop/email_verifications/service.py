from datetime import UTC, datetime
from uuid import UUID

from msgspec import UnsetType

from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Transaction, UniqueViolation
from restwell.errors import AppError, Conflict
from restwell.jobs import Jobs
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.email_verifications import queries
from shop.email_verifications.jobs import send_email_changed, send_verification_code
from shop.email_verifications.schemas import EmailVerificationRequest
from shop.one_time_tokens import hash_token
from shop.password_resets.service import PasswordResetService
from shop.sessions.reauthentication import Reauthentication, WrongPassword


class EmailTaken(Conflict):
    code, message = "email_taken", "An account with this email exists. Sign in instead."


class InvalidVerificationCode(AppError):
    code, status = "invalid_verification_code", 400
    message = "The code is invalid, already used, or expired after 24 hours. Request a new one."


class EmailVerificationService:
    def __init__(
        self,
        database: Database,
        cache: Cache,
        jobs: Jobs,
        reauthentication: Reauthentication,
        resets: PasswordResetService,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._audit = audit
        self._resets = resets
        self._cache = cache
        self._reauthentication = reauthentication

    async def request(self, actor: Actor, verification: EmailVerificationRequest) -> None:
        """Queue an email with a code. For a new address, raises WrongPassword and TooManyAttempts."""
        email = verification.email
        if email != await self._database.primary.find(queries.current_email, user_id=actor.id):
            if isinstance(verification.current_password, UnsetType):
                raise WrongPassword
            await self._reauthentication.check(actor, verification.current_password)
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_verification_code, user_id=actor.id, email=email)

    async def complete(self, code: str) -> None:
        """Mark the address as verified, and make it the account's address.

        Raises InvalidVerificationCode, EmailTaken.
        """
        now = datetime.now(UTC)
        try:
            async with self._database.transaction() as tx:
                verified = await tx.find(queries.use, match_hash=hash_token(code), now=now)
                if verified is None:
                    raise InvalidVerificationCode
                user_id, email = verified.user_id, verified.email
                previous_email = await tx.find(queries.current_email, user_id=user_id)
                if previous_email is None:
                    raise InvalidVerificationCode
                await tx.run(queries.set_email, user_id=user_id, email=email, now=now)
                self._cache.invalidate(tx, f"user:{user_id}")
                if previous_email == email:
                    await self._audit.record(tx, SecurityEventType.EMAIL_VERIFIED, user_id)
                    return
                await self.revoke_codes_in(tx, user_id)
                await self._resets.revoke_codes_in(tx, user_id)
                await self._audit.record(tx, SecurityEventType.EMAIL_CHANGED, user_id, detail=f"from: {previous_email}")
                await self._jobs.enqueue(tx, send_email_changed, email=previous_email)
        except UniqueViolation:
            raise EmailTaken from None

    async def revoke_codes_in(self, tx: Transaction, user_id: UUID) -> None:
        """Invalidate all pending codes of the user, in the caller's transaction."""
        await tx.run(queries.delete_codes, match_user_id=user_id)
