"""Verification of MFA codes, for users who have MFA enabled."""

import time
from typing import Final
from uuid import UUID

import structlog

from restwell.auth import DecryptionError, SecretBox, matching_totp_step
from restwell.database import Transaction
from restwell.errors import Forbidden, Unauthorized
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.login_throttle.service import LoginThrottle, throttle_key
from shop.mfa import queries
from shop.mfa.queries import StoredEnrolment
from shop.one_time_tokens import hash_token

log = structlog.get_logger("shop.mfa")

DIGITS: Final = 6


class MfaRequired(Unauthorized):
    code = "mfa_required"
    message = "MFA is required. Repeat the request with `code`: an authenticator code or a recovery code."


class InvalidMfaCode(Forbidden):
    code, message = "invalid_mfa_code", "The code is invalid or already used. Wait for the next one."


class MfaVerification:
    """Failures are throttled per account, not per network: the attacker already knows the password."""

    def __init__(self, secret_box: SecretBox, throttle: LoginThrottle, audit: AuditLog) -> None:
        self._secret_box = secret_box
        self._audit = audit
        self._throttle = throttle

    async def record_failure(self, user_id: UUID) -> None:
        """Count a failure, in a separate transaction: that of ``verify_in`` is rolled back."""
        await self._throttle.record_failure(_throttle_key(user_id))

    async def verify_in(self, tx: Transaction, user_id: UUID, code: str | None) -> None:
        """Verify and consume the code in the caller's transaction. Does nothing for users without MFA.

        Raises MfaRequired, InvalidMfaCode, TooManyAttempts.
        """
        enrolment = await tx.find(queries.of_user, id=user_id)
        if enrolment is None or enrolment.confirmed_at is None:
            return
        if code is None:
            raise MfaRequired
        await self._throttle.check(_throttle_key(user_id), tx)
        code = code.replace(" ", "")
        if len(code) == DIGITS:
            timestep = matching_totp_step(self._secret(enrolment), code, time.time())
            if timestep is None or not await tx.run(queries.use_timestep, match_user_id=user_id, timestep=timestep):
                raise InvalidMfaCode
        else:
            if await tx.find(queries.use_code, match_hash=hash_token(code), match_user_id=user_id) is None:
                raise InvalidMfaCode
            await self._audit.record(tx, SecurityEventType.RECOVERY_CODE_USED, user_id)
        await self._throttle.reset_in(tx, _throttle_key(user_id))

    def _secret(self, enrolment: StoredEnrolment) -> str:
        try:
            return self._secret_box.decrypt(enrolment.encrypted_secret)
        except DecryptionError:
            log.warning(
                "mfa_secret_decryption_failed",
                advice="add the JWT_SECRET that encrypted it to JWT_PREVIOUS_SECRETS",
            )
            raise InvalidMfaCode("Authenticator codes cannot be verified. Use a recovery code.") from None


def _throttle_key(user_id: UUID) -> bytes:
    return throttle_key(f"mfa:{user_id}", "")
