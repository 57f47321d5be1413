"""Verification of MFA codes, for users who have MFA enabled."""

import time
from typing import Final
from uuid import UUID

import structlog

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._codes import hash_token
from restwell.accounts._mfa import queries
from restwell.accounts._mfa.queries import StoredEnrolment
from restwell.accounts._passwords.second_factor import InvalidMfaCode, MfaRequired, SecondFactor
from restwell.accounts._throttle.service import LoginThrottle, throttle_key
from restwell.auth import DecryptionError, SecretBox, matching_totp_step
from restwell.database import Transaction

log = structlog.get_logger("restwell.accounts._mfa")

DIGITS: Final = 6


class MfaVerification(SecondFactor):
    """Failures are throttled per account, not per network: the attacker already knows the password."""

    def __init__(self, secret_box: SecretBox, throttle: LoginThrottle, audit: AuditLog) -> None:
        self._secret_box = secret_box
        self._audit = audit
        self._throttle = throttle

    async def record_failure(self, user_id: UUID) -> None:
        await self._throttle.record_failure(_throttle_key(user_id), "second_factor")

    async def verify_in(self, tx: Transaction, user_id: UUID, code: str | None) -> None:
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
