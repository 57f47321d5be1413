"""Codes that prove something once: that one reads a mailbox, or holds a list of recovery codes. Only their hashes are stored."""

import hashlib
import secrets


def generate_token() -> str:
    """192 random bits, as text that survives being copied out of a mail."""
    return secrets.token_urlsafe(24)


def hash_token(code: str) -> bytes:
    """What is stored: codes are random, so a plain SHA-256 cannot be guessed backwards."""
    return hashlib.sha256(code.encode()).digest()
