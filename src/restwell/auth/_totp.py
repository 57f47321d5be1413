"""Time-based one-time passwords (RFC 6238): six digits, SHA-1, 30 seconds, as authenticator apps implement them."""

import hmac
from typing import Final

import pyotp

STEP_SECONDS: Final = 30
MAX_DRIFT_STEPS: Final = 1
"""Accepted clock drift of the phone, in time steps in either direction (RFC 6238 5.2)."""


def new_totp_secret() -> str:
    """Generate 160 random bits, in base 32."""
    return pyotp.random_base32()


def totp_uri(secret: str, *, account: str, issuer: str) -> str:
    """The ``otpauth://`` URI that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=account, issuer_name=issuer)


def matching_totp_step(secret: str, code: str, now: float) -> int | None:
    """The time step of this code, or None. Callers store it and reject the same or an earlier step."""
    current = int(now) // STEP_SECONDS
    totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    matching = None
    for step in range(current - MAX_DRIFT_STEPS, current + MAX_DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            matching = step
    return matching
