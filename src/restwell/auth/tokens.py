"""Access tokens: short-lived JWTs for APIs (RFC 9068), checked as RFC 8725 asks.

The algorithm is pinned, the ``typ`` header must say ``at+jwt``, and issuer, audience and expiry are required, so that no
other token of ours, and no token of another algorithm, is ever taken for an access token.
"""

import time
from typing import Final
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Struct, ValidationError, convert

from restwell.errors import Unauthorized

ALGORITHM: Final = "HS256"
TYPE: Final = "at+jwt"
MAX_CHARS: Final = 2_048


class Claims(Struct, frozen=True):
    """What an access token says: the user, the session it belongs to, and when it ends (seconds since 1970)."""

    sub: UUID
    sid: UUID
    iss: str
    aud: str
    iat: int
    exp: int


class AccessTokens:
    """Issues and verifies access tokens of one issuer. ``ttl_seconds`` is how long each is valid."""

    def __init__(self, key: bytes, *, issuer: str, ttl_seconds: int) -> None:
        self._key = OctKey.import_key(key)
        self._issuer = issuer
        self.ttl_seconds = ttl_seconds

    def issue(self, user_id: UUID, session_id: UUID) -> str:
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "sid": str(session_id),
            "iss": self._issuer,
            "aud": self._issuer,
            "iat": now,
            "exp": now + self.ttl_seconds,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE}, claims, self._key, algorithms=[ALGORITHM])

    def verify(self, token: str) -> Claims:
        """The token's claims. Raises Unauthorized for anything but a valid, current access token of ours."""
        if len(token) > MAX_CHARS:
            raise Unauthorized("The access token is too long.")
        try:
            parsed = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            claims = convert(parsed.claims, Claims)
        except (JoseError, ValidationError, ValueError) as error:
            raise Unauthorized("The access token is not valid.") from error
        if parsed.header.get("typ") != TYPE or claims.iss != self._issuer or claims.aud != self._issuer:
            raise Unauthorized("The access token is not valid.")
        now = time.time()
        if claims.exp <= now:
            raise Unauthorized("The access token has expired. Refresh it.")
        if claims.iat > now + 60:
            raise Unauthorized("The access token is not valid yet.")
        return claims
