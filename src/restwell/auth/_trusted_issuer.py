"""Access tokens of another issuer, such as Keycloak, Auth0 or Entra ID: the API is an OAuth resource server (RFC 9068).

The keys come from the metadata of the issuer. The token chooses neither the algorithm nor where the keys come from.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from joserfc.jwk import KeySet
from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth._actor import MACHINE, Actor
from restwell.auth._http import open_client
from restwell.auth._issuer import (
    ALGORITHMS,
    SKEW_SECONDS,
    Documents,
    Issuer,
    IssuerUnavailable,
    Metadata,
    oauth_metadata_url,
    openid_metadata_url,
)
from restwell.auth._jose import InvalidToken, UnknownKey, decode
from restwell.errors import AppError, ServiceUnavailable, Unauthorized

log = structlog.get_logger("restwell.auth")

MAX_CHARS: Final = 8_192
CACHE_SIZE: Final = 4_000
"""Verified tokens cached per process, a few kilobytes each."""
RETRY_SECONDS: Final = 1.0
_URL: Final = re.compile(
    r"https://[!\"$->@-~]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/[!\"$->@-~]*)?"
).fullmatch
_OPENID_SCOPES: Final = {"openid", "profile", "email", "address", "phone", "offline_access"}
"""They ask for claims and refresh tokens (OpenID Connect Core 5.4 and 11), not for a right in this API."""
_TYPES: Final = {
    "at+jwt": frozenset({"at+jwt", "application/at+jwt"}),
    "JWT": frozenset({"jwt", "application/jwt", ""}),
}


class _Claims(Struct, frozen=True):
    """RFC 9068 2.2. ``scp`` is the name of the scopes at Okta, as a list, and at Entra ID."""

    iss: str
    aud: str | tuple[str, ...]
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    exp: float
    iat: float = 0.0
    nbf: float = 0.0
    sid: str | None = None
    client_id: str | None = None
    azp: str | None = None
    scope: str | tuple[str, ...] = ""
    scp: str | tuple[str, ...] = ""


class _Verified(Struct, frozen=True):
    keys: KeySet
    expires_at: float
    actor: Actor


class TrustedIssuer:
    """Verifies the access tokens of one issuer: ``kit.app(..., authenticate=TrustedIssuer(url, audience="orders"))``.

    ``url``: the exact ``iss`` of its tokens. ``audience``: what they have as ``aud`` for this API. ``typ``: "JWT" for
    an issuer that does not send ``at+jwt``; its ID tokens must have another audience then. ``role_claim``: the claim
    with the role, as a string or as a list of one. ``actor`` may change the actor of a token, whose ``claims`` are all
    claims of the token; an exception of it rejects the token.

    An actor's id is the ``sub`` if that is a UUID in canonical form, otherwise derived from issuer and ``sub``. A token
    that has its client as ``sub`` is a machine client's. A user's token with scopes passes the guards that an API key
    with these scopes passes; one without scopes, those of a user in a session. Scopes of OpenID Connect do not count.

    Nothing is fetched before the first token. A token is valid until it expires: the issuer is not asked.
    """

    def __init__(
        self,
        url: str,
        *,
        audience: str,
        typ: Literal["at+jwt", "JWT"] = "at+jwt",
        role_claim: str = "role",
        actor: Callable[[Actor], Actor] | None = None,
    ) -> None:
        if not _URL(url):
            raise ValueError(f"the issuer must be an https:// URL; http:// only for localhost, not {url!r}")
        if not audience:
            raise ValueError("name the audience: without one, tokens for every other API of the issuer are accepted")
        if typ not in _TYPES:
            raise ValueError(f'typ must be "at+jwt" or "JWT", not {typ!r}')
        self._url = url
        self._audience = audience
        self._types = _TYPES[typ]
        self._role_claim = role_claim
        self._change_actor = actor
        self._namespace = uuid5(NAMESPACE_URL, url)
        self._issuer = Issuer(
            url,
            open_client(keep_connections=False),
            Metadata,
            metadata_urls=[openid_metadata_url(url), oauth_metadata_url(url)],
            retry_seconds=RETRY_SECONDS,
        )
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    async def __call__(self, access_token: str) -> Actor:
        """Return the actor of a token.

        Raises Unauthorized for an invalid token, and ServiceUnavailable without the keys of the issuer.
        """
        if len(access_token) > MAX_CHARS:
            raise Unauthorized("The access token is too long.")
        try:
            documents = await self._issuer.get()
            verified = self._verified.get(access_token)
            if verified is None or verified.keys is not documents.keys:
                verified = await self._verify_once(access_token, documents)
        except IssuerUnavailable as error:
            raise ServiceUnavailable(
                "The issuer of the access tokens cannot be reached. Try again shortly.",
                retry_after_seconds=int(RETRY_SECONDS),
            ) from error
        if verified.expires_at <= time.time():
            self._verified.pop(access_token, None)
            raise Unauthorized("The access token has expired. Refresh it.")
        return verified.actor

    async def _verify_once(self, token: str, documents: Documents[Metadata]) -> _Verified:
        try:
            try:
                verified = self._verify(token, documents.keys)
            except UnknownKey:
                verified = self._verify(token, (await self._issuer.refresh()).keys)
        except InvalidToken as error:
            raise Unauthorized("The access token is not valid.") from error
        if len(self._verified) >= CACHE_SIZE:
            self._verified.popitem(last=False)
        self._verified[token] = verified
        return verified

    def _verify(self, token: str, keys: KeySet) -> _Verified:
        """Raises InvalidToken."""
        header, payload = decode(token, keys, ALGORITHMS, dict[str, Any])
        typ = header.get("typ", "")
        if not isinstance(typ, str) or typ.lower() not in self._types:
            raise InvalidToken("wrong type")
        try:
            claims = convert(payload, _Claims)
        except ValidationError as error:
            raise InvalidToken(str(error)) from error
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if claims.iss != self._url or self._audience not in audiences:
            raise InvalidToken("wrong issuer or audience")
        if max(claims.iat, claims.nbf) > time.time() + SKEW_SECONDS:
            raise InvalidToken("not valid yet")
        return _Verified(keys, claims.exp + SKEW_SECONDS, self._actor(claims, payload))

    def _actor(self, claims: _Claims, payload: dict[str, Any]) -> Actor:
        actor_id = self._to_uuid(claims.sub)
        scopes = frozenset(_words(claims.scope) + _words(claims.scp)) - _OPENID_SCOPES
        if claims.sub in {claims.client_id, claims.azp}:
            actor = Actor(actor_id, MACHINE, actor_id, scopes, claims=payload)
        else:
            session_id = actor_id if claims.sid is None else self._to_uuid(claims.sid)
            actor = Actor(actor_id, self._role(payload), session_id, scopes, claims=payload)
        if self._change_actor is None:
            return actor
        try:
            return self._change_actor(actor)
        except AppError:
            raise
        except Exception as error:  # the claims are input: one of an unexpected type is not a 500
            log.warning("access_token_rejected", issuer=self._url, exc_info=True)
            raise InvalidToken(f"actor: {error!r}") from error

    def _role(self, payload: dict[str, Any]) -> str:
        """Empty without a role, and for several: ``actor`` chooses one."""
        role = payload.get(self._role_claim, "")
        if isinstance(role, list):
            role = role[0] if len(role) == 1 else ""
        if not isinstance(role, str) or role == MACHINE:
            raise InvalidToken("wrong role")
        return role

    def _to_uuid(self, text: str) -> UUID:
        try:
            value = UUID(text)
        except ValueError:
            return uuid5(self._namespace, text)
        return value if str(value) == text else uuid5(self._namespace, text)


def _words(scopes: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(scopes.split()) if isinstance(scopes, str) else scopes
