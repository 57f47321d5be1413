"""Whether somebody who knows the password also has the second factor of the account, where it has one."""

import time
from typing import Final
from uuid import UUID

import structlog

from restwell.auth.encryption import DecryptionError, SecretBox
from restwell.auth.totp import matching_timestep
from restwell.database import Database, Transaction
from restwell.errors import Forbidden, Unauthorized
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.mfa import queries
from shop.mfa.queries import StoredEnrolment
from shop.one_time_tokens import hash_token
from shop.sessions.login_throttle import LoginThrottle, throttle_key

log = structlog.get_logger("shop.mfa")

DIGITS: Final = 6


class MfaRequired(Unauthorized):
    code = "mfa_required"
    message = "The password is right. Send it again with the code of your app, or a recovery code, as `code`."


class InvalidMfaCode(Forbidden):
    code, message = "invalid_mfa_code", "The code is wrong, or was used before. Wait for the next one."


class MfaVerification:
    """Guesses are counted for the whole account: whoever makes any knows its password already."""

    def __init__(self, database: Database, secret_box: SecretBox, audit: AuditLog) -> None:
        self._database = database
        self._secret_box = secret_box
        self._audit = audit
        self._throttle = LoginThrottle(database)

    async def failed(self, user_id: UUID) -> None:
        """Count a wrong code, which ``verify_in`` cannot: its transaction has ended without effect."""
        await self._throttle.record_failure(_subject(user_id))

    async def verify_in(self, tx: Transaction, user_id: UUID, code: str | None) -> None:
        """Use the code up as part of what it is for. Raises MfaRequired, InvalidMfaCode, TooManyAttempts."""
        factor = await tx.find(queries.of_user, id=user_id)
        if factor is None or factor.confirmed_at is None:
            return
        if code is None:
            raise MfaRequired
        await self._throttle.check(_subject(user_id), tx)
        code = code.replace(" ", "")
        if len(code) == DIGITS:
            step = matching_timestep(self._secret(factor), code, time.time())
            if step is None or not await tx.run(queries.use_step, owner_id=user_id, step=step):
                raise InvalidMfaCode
        else:
            if await tx.find(queries.use_code, match_hash=hash_token(code), owner_id=user_id) is None:
                raise InvalidMfaCode
            await self._audit.record(tx, SecurityEventType.RECOVERY_CODE_USED, user_id)
        await self._throttle.reset_in(tx, _subject(user_id))

    def _secret(self, factor: StoredEnrolment) -> str:
        try:
            return self._secret_box.decrypt(factor.encrypted_secret)
        except DecryptionError:
            log.warning(
                "second_factor_cannot_be_opened",
                advice="put the JWT_SECRET it was sealed with into JWT_PREVIOUS_SECRETS",
            )
            raise InvalidMfaCode("Only a recovery code signs in now.") from None


def _subject(user_id: UUID) -> bytes:
    return throttle_key(f"second factor:{user_id}", "")
