"""Random single-use tokens: email codes, recovery codes and client secrets. Only hashes are stored."""

import hashlib
import secrets


def generate_token() -> str:
    """Return 192 random bits as URL-safe base64."""
    return secrets.token_urlsafe(24)


def hash_token(token: str) -> bytes:
    """SHA-256, without salt: the input has 192 bits of entropy."""
    return hashlib.sha256(token.encode()).digest()
