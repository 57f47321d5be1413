"""Rules of having a second factor."""

import time
from datetime import UTC, datetime
from typing import Final

from restwell.auth import Actor
from restwell.auth.encryption import SecretBox
from restwell.auth.totp import matching_timestep, new_secret, provisioning_uri
from restwell.database import Database
from restwell.errors import Conflict
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.mfa import queries
from shop.mfa.schemas import MfaEnrolment, MfaStatus, RecoveryCodes
from shop.mfa.verification import InvalidMfaCode, MfaVerification
from shop.one_time_tokens import generate_token, hash_token
from shop.sessions.reauthentication import Reauthentication
from shop.sessions.service import SessionService
from shop.users.service import UserService

CODES: Final = 10


class MfaAlreadyEnabled(Conflict):
    code, message = "mfa_already_enabled", "The account has a second factor. Remove it before you begin with another."


class MfaNotEnrolled(Conflict):
    code, message = (
        "mfa_not_enrolled",
        "There is no second factor to confirm or remove. MfaEnrolmentRequest with one first.",
    )


class MfaService:
    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        reauthentication: Reauthentication,
        verification: MfaVerification,
        sessions: SessionService,
        users: UserService,
        audit: AuditLog,
        *,
        issuer: str,
    ) -> None:
        self._database = database
        self._secret_box = secret_box
        self._reauthentication = reauthentication
        self._verification = verification
        self._sessions = sessions
        self._users = users
        self._audit = audit
        self._issuer = issuer

    async def read(self, actor: Actor) -> MfaStatus:
        factor = await self._database.primary.find(queries.of_user, id=actor.id)
        active = factor is not None and factor.confirmed_at is not None
        return MfaStatus(active, await self._database.primary.one(queries.count_codes, id=actor.id))

    async def begin(self, actor: Actor, password: str) -> MfaEnrolment:
        """A new secret, which counts once it is confirmed. Raises WrongPassword, TooManyAttempts, MfaAlreadyEnabled."""
        await self._reauthentication.check(actor, password)
        user = await self._users.get_user(actor.id)
        secret = new_secret()
        sealed = self._secret_box.encrypt(secret)
        if not await self._database.run(queries.begin, user_id=actor.id, encrypted_secret=sealed):
            raise MfaAlreadyEnabled
        return MfaEnrolment(secret, provisioning_uri(secret, account=user.email, issuer=self._issuer))

    async def confirm(self, actor: Actor, code: str) -> RecoveryCodes:
        """From now on it is asked for; every other device is signed out. Raises MfaNotEnrolled, InvalidMfaCode."""
        factor = await self._database.primary.find(queries.of_user, id=actor.id)
        if factor is None or factor.confirmed_at is not None:
            raise MfaNotEnrolled
        step = matching_timestep(self._secret_box.decrypt(factor.encrypted_secret), code.replace(" ", ""), time.time())
        if step is None:
            raise InvalidMfaCode
        codes = [generate_token() for _ in range(CODES)]
        async with self._database.transaction() as tx:
            if not await tx.run(queries.confirm, owner_id=actor.id, now=datetime.now(UTC), step=step):
                raise MfaNotEnrolled
            await tx.run_many(
                queries.insert_code, [{"code_hash": hash_token(one), "user_id": actor.id} for one in codes]
            )
            await self._sessions.end_others_in(tx, actor)
            await self._audit.record(tx, SecurityEventType.MFA_ENABLED, actor.id)
            await self._users.notify_mfa_changed_in(tx, actor.id, active=True)
        return RecoveryCodes(codes)

    async def remove(self, actor: Actor, password: str, code: str) -> None:
        """It is asked for no more. Raises MfaNotEnrolled, WrongPassword, InvalidMfaCode, TooManyAttempts."""
        await self._reauthentication.check(actor, password)
        try:
            async with self._database.transaction() as tx:
                await self._verification.verify_in(tx, actor.id, code)
                await tx.run(queries.remove_codes, owner_id=actor.id)
                if not await tx.run(queries.remove, owner_id=actor.id):
                    raise MfaNotEnrolled
                await self._audit.record(tx, SecurityEventType.MFA_DISABLED, actor.id)
                await self._users.notify_mfa_changed_in(tx, actor.id, active=False)
        except InvalidMfaCode:
            await self._verification.failed(actor.id)
            raise
