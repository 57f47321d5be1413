"""Rules of confirming and changing an address."""

from datetime import UTC, datetime
from uuid import UUID

from msgspec import UnsetType

from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Transaction, UniqueViolation
from restwell.errors import AppError, Conflict
from restwell.jobs import Jobs
from shop.audit.models import SecurityEvent
from shop.audit.service import AuditLog
from shop.codes import hash_of
from shop.email_confirmations import queries
from shop.email_confirmations.jobs import send_confirmation_code, send_email_changed
from shop.email_confirmations.schemas import ConfirmationRequest
from shop.password_resets.service import PasswordResetService
from shop.sessions.reauthentication import Reauthentication, WrongPassword


class EmailTaken(Conflict):
    code, message = "email_taken", "An account with this email exists. Sign in instead."


class InvalidConfirmationCode(AppError):
    code, status = "invalid_confirmation_code", 400
    message = "The code is wrong, was used before, or is more than 24 hours old. Ask for a new one."


class EmailConfirmationService:
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

    async def request(self, actor: Actor, wanted: ConfirmationRequest) -> None:
        """Have a code sent to the address. Raises WrongPassword, TooManyAttempts, where it is another than the account has."""
        email = wanted.email
        if email != await self._database.primary.find(queries.address, user_id=actor.id):
            if isinstance(wanted.current_password, UnsetType):
                raise WrongPassword
            await self._reauthentication.check(actor, wanted.current_password)
        async with self._database.transaction() as tx:
            await self._jobs.enqueue(tx, send_confirmation_code, user_id=actor.id, email=email)

    async def confirm(self, code: str) -> None:
        """The address is the account's from now on, and was proven to be. Raises InvalidConfirmationCode, EmailTaken."""
        now = datetime.now(UTC)
        try:
            async with self._database.transaction() as tx:
                confirmed = await tx.find(queries.use, its_hash=hash_of(code), now=now)
                if confirmed is None:
                    raise InvalidConfirmationCode
                user_id, email = confirmed.user_id, confirmed.email
                before = await tx.find(queries.address, user_id=user_id)
                if before is None:
                    raise InvalidConfirmationCode
                await tx.run(queries.set_email, user_id=user_id, email=email, now=now)
                self._cache.invalidate(tx, f"user:{user_id}")
                if before == email:
                    await self._audit.record(tx, SecurityEvent.EMAIL_CONFIRMED, user_id)
                    return
                await self.forget_in(tx, user_id)
                await self._resets.forget_in(tx, user_id)
                await self._audit.record(tx, SecurityEvent.EMAIL_CHANGED, user_id, detail=f"from: {before}")
                await self._jobs.enqueue(tx, send_email_changed, email=before)
        except UniqueViolation:
            raise EmailTaken from None

    async def forget_in(self, tx: Transaction, user_id: UUID) -> None:
        """What was sent counts no more, as part of a larger change."""
        await tx.run(queries.forget, owner_id=user_id)
