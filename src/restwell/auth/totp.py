"""The six digits of an authenticator app: time-based one-time passwords (RFC 6238), as every app has them: SHA-1, 30 seconds."""

import hmac
from typing import Final

import pyotp

STEP_SECONDS: Final = 30
DRIFT: Final = 1
"""How many steps the clock of a phone may be before or behind ours (RFC 6238 5.2)."""


def new_secret() -> str:
    """160 random bits, in base 32."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, *, account: str, issuer: str) -> str:
    """What the app reads from a QR code."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=account, issuer_name=issuer)


def matching_timestep(secret: str, code: str, now: float) -> int | None:
    """The step of time whose code this is, or None. A step that was used once must not count again."""
    current = int(now) // STEP_SECONDS
    totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    found = None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found
