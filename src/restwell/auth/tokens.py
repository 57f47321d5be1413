"""Access tokens: short-lived JWTs for APIs (RFC 9068), checked as RFC 8725 asks.

The key is one of our own, found by ``kid`` and never by anything else that a token names; the algorithm is that of the key. The
``typ`` header must say ``at+jwt``, and issuer, audience and expiry are required, so that no other token of ours, and no token
of another algorithm, is ever taken for an access token.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import ECKey, GuestProtocol, OctKey, OKPKey
from msgspec import Struct

from restwell.auth.jose import InvalidToken, decode
from restwell.auth.signing_keys import SigningKey, public_key_set
from restwell.errors import Unauthorized
from restwell.ids import new_id_text

TYPE: Final = "at+jwt"
MAX_CHARS: Final = 2_048
REMEMBERED: Final = 10_000
"""So many verified tokens are kept in a process, about a kilobyte each; a repeat costs one look into a dictionary."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+").fullmatch
SKEW_SECONDS: Final = 60
"""How far the clock of another node may be ahead."""


class Claims(Struct, frozen=True):
    """What an access token says: whose it is, and when it ends (seconds since 1970).

    A user's belongs to a session, ``sid``; a machine client's to none, and has a ``scope``.
    """

    sub: UUID
    client_id: str
    iss: str
    aud: str
    iat: int
    exp: int
    nbf: int = 0
    sid: UUID | None = None
    scope: str = ""


class AccessTokens:
    """Issues and verifies access tokens of one issuer. The first key signs; ``ttl_seconds`` is how long each token is valid."""

    def __init__(self, keys: Sequence[SigningKey], *, issuer: str, ttl_seconds: int) -> None:
        if not issuer or ttl_seconds <= 0:
            raise ValueError("access tokens need an issuer, and a life of more than 0 seconds")
        self._signing = keys[0]
        self._keys = {one.id: one for one in keys}
        self._algorithms = sorted({one.algorithm for one in keys})
        self._issuer = issuer
        self.ttl_seconds = ttl_seconds
        self.public_keys: dict[str, Any] | None = public_key_set(keys)
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, user_id: UUID, session_id: UUID) -> str:
        """For a user, in a session. Raises TypeError for what is no UUID."""
        return self._issue(user_id, {"client_id": self._issuer, "sid": _uuid_text(session_id)})

    def issue_to_machine(self, client_id: UUID, scopes: Iterable[str]) -> str:
        """For a client on its own behalf. Raises TypeError for what is no UUID or no collection of scopes, and ValueError where there are
        none, where one is not a scope (RFC 6749 3.3), and where there are too many for a token.
        """
        if isinstance(scopes, str):
            raise TypeError("scopes are a collection of texts, not one text")
        wanted = sorted(scopes)
        bad = [scope for scope in wanted if _SCOPE(scope) is None]
        if bad or not wanted:
            raise ValueError(
                f"no scopes: {bad}" if bad else "a machine client needs a scope: without one it may do nothing"
            )
        token = self._issue(client_id, {"client_id": str(client_id), "scope": " ".join(wanted)})
        if len(token) > MAX_CHARS:
            raise ValueError(
                f"{len(wanted)} scopes make a token of more than {MAX_CHARS} characters, which no one would take"
            )
        return token

    def _issue(self, subject: UUID, more: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "sub": _uuid_text(subject),
            **more,
            "jti": new_id_text(),
            "iss": self._issuer,
            "aud": self._issuer,
            "iat": now,
            "exp": now + self.ttl_seconds,
        }
        signing = self._signing
        header = {"alg": signing.algorithm, "typ": TYPE, "kid": signing.id}
        return jwt.encode(header, claims, signing.key, algorithms=[signing.algorithm])

    def verify(self, token: str) -> Claims:
        """The token's claims. Raises Unauthorized for anything but a valid, current access token of ours.

        Whether its session has ended since it was issued, this does not know.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            if len(self._verified) >= REMEMBERED:
                self._verified.popitem(last=False)
            self._verified[token] = claims
        if claims.exp <= time.time():
            self._verified.pop(token, None)
            raise Unauthorized("The access token has expired. Refresh it.")
        return claims

    def _verify(self, token: str) -> Claims:
        if len(token) > MAX_CHARS:
            raise Unauthorized("The access token is too long.")
        try:
            header, claims = decode(token, self._key_of, self._algorithms, Claims)
        except InvalidToken as error:
            raise Unauthorized("The access token is not valid.") from error
        if header.get("typ") != TYPE or claims.iss != self._issuer or claims.aud != self._issuer:
            raise Unauthorized("The access token is not valid.")
        if claims.sid is None and claims.client_id != str(claims.sub):
            raise Unauthorized("The access token is not valid.")
        if max(claims.iat, claims.nbf) > time.time() + SKEW_SECONDS:
            raise Unauthorized("The access token is not valid yet.")
        return claims

    def _key_of(self, token: GuestProtocol) -> OctKey | ECKey | OKPKey:
        headers = token.headers()
        found = self._keys.get(headers.get("kid", ""))
        if (
            found is None or headers.get("alg") != found.algorithm
        ):  # RFC 8725 3.1; joserfc looks at the kind of key as well
            raise ValueError("no key of ours")
        return found.key


def _uuid_text(value: UUID) -> str:
    if not isinstance(value, UUID):
        raise TypeError(f"an access token names UUIDs, not {value!r}: nothing else would be verified")
    return str(value)
