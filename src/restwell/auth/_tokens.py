"""Access tokens: short-lived JWTs (RFC 9068), verified according to RFC 8725.

The ``kid`` header selects one of the configured keys; the algorithm is the one of that key. The ``typ`` header must be
``at+jwt``. Issuer, audience and expiry are required. So no other token and no other algorithm is accepted.
"""

import json as stdlib_json
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import ECKey, GuestProtocol, OctKey, OKPKey
from msgspec import MsgspecError, Struct, ValidationError, convert, field, json

from restwell.auth._jose import InvalidToken, verify
from restwell.auth._signing_keys import SigningKey, public_key_set
from restwell.errors import Unauthorized
from restwell.ids import new_id_text

TYPE: Final = "at+jwt"
MAX_CHARS: Final = 2_048
CACHE_SIZE: Final = 10_000
"""Verified tokens cached per process, about a kilobyte each. A cached token costs one dictionary lookup."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+").fullmatch
SKEW_SECONDS: Final = 60
"""Accepted clock skew between nodes."""


class Claims(Struct, frozen=True, forbid_unknown_fields=True):
    """Times are Unix seconds. A user's token has a session id, ``sid``; a machine client's has a ``scope`` instead.

    ``extra`` has the application's own claims. Do not change them: the claims of a verified token are cached.
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
    jti: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, name="")  # no claim has this name


RESERVED: Final = frozenset(Claims.__struct_encode_fields__) | {"azp", "act", "may_act", "cnf"}
"""Names that an own claim may not have: those of ``Claims``, and those that change what a token means."""


class AccessTokens:
    """Issues and verifies the access tokens of one issuer. The first key signs."""

    def __init__(self, keys: Sequence[SigningKey], *, issuer: str, ttl_seconds: int) -> None:
        if not issuer or ttl_seconds <= 0:
            raise ValueError("access tokens need an issuer and a ttl_seconds above 0")
        self._signing_key = keys[0]
        self._keys = {key.id: key for key in keys}
        self._algorithms = sorted({key.algorithm for key in keys})
        self._issuer = issuer
        self.ttl_seconds = ttl_seconds
        self.public_keys: dict[str, Any] | None = public_key_set(keys)
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, user_id: UUID, session_id: UUID, *, claims: Mapping[str, Any] | None = None) -> str:
        """Issue a token for a user's session. ``claims``: the application's own, which anyone with the token can read.

        Raises TypeError for an id that is not a UUID. Raises ValueError for a reserved name, for a value that is not
        JSON, and if the claims would make the token too long.
        """
        registered = {"client_id": self._issuer, "sid": _uuid_text(session_id)}
        if not claims:
            return self._issue(user_id, registered)
        _check_own(claims)
        token = self._issue(user_id, {**claims, **registered})
        if len(token) > MAX_CHARS:
            raise ValueError(
                f"own claims make a token of {len(token):,} characters; verification accepts at most {MAX_CHARS:,}"
            )
        return token

    def issue_to_machine(self, client_id: UUID, scopes: Iterable[str]) -> str:
        """Issue a token for a machine client (client credentials grant).

        Raises TypeError for an id that is not a UUID or scopes that are not a collection. Raises ValueError without
        scopes, for an invalid scope (RFC 6749 3.3), and if the token would be too long.
        """
        if isinstance(scopes, str):
            raise TypeError("scopes must be a collection of strings, not a string")
        requested = sorted(scopes)
        invalid = [scope for scope in requested if _SCOPE(scope) is None]
        if invalid or not requested:
            raise ValueError(f"invalid scopes: {invalid}" if invalid else "a machine client needs a scope")
        token = self._issue(client_id, {"client_id": str(client_id), "scope": " ".join(requested)})
        if len(token) > MAX_CHARS:
            raise ValueError(
                f"{len(requested)} scopes make a token longer than {MAX_CHARS} characters, which verification rejects"
            )
        return token

    def _issue(self, subject: UUID, extra_claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        claims = {
            "sub": _uuid_text(subject),
            **extra_claims,
            "jti": new_id_text(),
            "iss": self._issuer,
            "aud": self._issuer,
            "iat": now,
            "exp": now + self.ttl_seconds,
        }
        key = self._signing_key
        header = {"alg": key.algorithm, "typ": TYPE, "kid": key.id}
        return jwt.encode(header, claims, key.key, algorithms=[key.algorithm])

    def verify(self, token: str) -> Claims:
        """Return the claims. Raises Unauthorized for a token that is invalid, expired or of another issuer.

        Does not check whether the session was ended since the token was issued.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            if len(self._verified) >= CACHE_SIZE:
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
            header, payload = verify(token, self._find_key, self._algorithms)
            claims = _decode_claims(payload)
        except (InvalidToken, MsgspecError, RecursionError, ValueError) as error:
            raise Unauthorized("The access token is not valid.") from error
        if header.get("typ") != TYPE or claims.iss != self._issuer or claims.aud != self._issuer:
            raise Unauthorized("The access token is not valid.")
        if claims.sid is None and claims.client_id != str(claims.sub):
            raise Unauthorized("The access token is not valid.")
        if max(claims.iat, claims.nbf) > time.time() + SKEW_SECONDS:
            raise Unauthorized("The access token is not valid yet.")
        return claims

    def _find_key(self, token: GuestProtocol) -> OctKey | ECKey | OKPKey:
        headers = token.headers()
        key = self._keys.get(headers.get("kid", ""))
        if key is None or headers.get("alg") != key.algorithm:  # RFC 8725 3.1; joserfc also checks the key type
            raise ValueError("unknown key")
        return key.key


def _decode_claims(payload: bytes) -> Claims:
    """Raises MsgspecError and others, as msgspec does."""
    try:
        return json.decode(payload, type=Claims)
    except ValidationError:  # own claims, or an invalid one
        claims = json.decode(payload, type=dict[str, Any])
    own = {name: claims.pop(name) for name in claims.keys() - RESERVED}
    return convert({**claims, "": own}, Claims)


def _check_own(claims: Mapping[str, Any]) -> None:
    """Raises ValueError for claims that ``verify`` would not return as they are."""
    if reserved := sorted(map(repr, claims.keys() & RESERVED)):
        raise ValueError(f"own claims may not be named {', '.join(reserved)}")
    try:
        decoded = json.decode(stdlib_json.dumps(dict(claims), allow_nan=False))
    except (MsgspecError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"own claims must be JSON: {error}") from None
    if decoded != claims:
        raise ValueError("own claims must be JSON: strings as names, lists instead of tuples")


def _uuid_text(value: UUID) -> str:
    if not isinstance(value, UUID):
        raise TypeError(f"an access token needs UUIDs, not {value!r}")
    return str(value)
