"""Refresh tokens: opaque, random, kept only as a hash, each with one successor that can be computed again.

The successor is derived from the token it replaces with a key only the server has. So a client that lost the answer to its
refresh gets the very same pair member again within the grace time, though the server stores no token.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from typing import Final

PREFIX: Final = "rt_"


class RefreshTokens:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self) -> str:
        """A token for a new session: 256 random bits."""
        return PREFIX + secrets.token_urlsafe(32)

    def successor(self, token: str) -> str:
        """The token that replaces this one; the same on every call."""
        return PREFIX + urlsafe_b64encode(hmac.digest(self._key, token.encode(), "sha256")).rstrip(b"=").decode()

    def digest(self, token: str) -> bytes:
        """What is stored: tokens are random, so a plain SHA-256 cannot be guessed backwards."""
        return hashlib.sha256(token.encode()).digest()
