"""Opaque refresh tokens, stored only as hashes, with deterministic rotation.

The successor of a token is an HMAC of it with a server key. A client that lost the response of its refresh repeats the
request within the grace time and receives the same successor, although the server stores no token.
"""

import hashlib
import hmac
import secrets
from typing import Final

from restwell import _base64url as base64url

PREFIX: Final = "rt_"


class RefreshTokens:
    """Generates tokens, their successors and their hashes. Stores nothing."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self) -> str:
        """Generate the token of a new session: 256 random bits."""
        return PREFIX + secrets.token_urlsafe(32)

    def successor(self, token: str) -> str:
        """Compute the token that replaces this one. Deterministic."""
        return PREFIX + base64url.encode(hmac.digest(self._key, token.encode(), "sha256"))

    def digest(self, token: str) -> bytes:
        """The hash to store. Tokens have 256 random bits, so SHA-256 needs no salt."""
        return hashlib.sha256(token.encode()).digest()
