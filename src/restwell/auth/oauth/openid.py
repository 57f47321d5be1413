"""Any provider that speaks OpenID Connect, Google among them: it is found by its issuer, and says who someone is in a signed token."""

import time
from typing import Annotated, Any, ClassVar, Final

import httpx
from joserfc.jwk import KeySet
from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth.jose import InvalidToken, decode, import_key_set
from restwell.auth.oauth.provider import Client, Identity, Provider
from restwell.auth.oauth.state import AuthorizationFlow, InvalidSignIn

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
"""Of id tokens. Those with a shared secret are not among them: whoever verifies could also sign."""
KEPT_SECONDS: Final = 3_600
SKEW_SECONDS: Final = 60
_DISCOVERY: Final = "/.well-known/openid-configuration"


Url = Annotated[str, Meta(pattern=r"^https?://[!\"$-~]{1,2000}\Z")]
"""Printable ASCII without a fragment: it becomes part of a Location header."""


class Metadata(Struct, frozen=True):
    """What a provider says of itself (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: Url
    token_endpoint: Url
    jwks_uri: Url
    userinfo_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Person(Struct, frozen=True):
    """The claims of an id token, or of the userinfo endpoint, that are asked for. Some providers write a boolean as text."""

    sub: Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,255}$")]
    email: str | None = None
    email_verified: bool | str = False
    name: str | None = None


class _IdToken(Person, frozen=True, kw_only=True):
    """Core 1.0, 2."""

    iss: str
    aud: str | tuple[str, ...]
    nonce: str
    iat: float
    exp: float
    nbf: float = 0.0
    azp: str | None = None


class OpenIdProvider(Provider):
    scope: ClassVar[str] = "openid email profile"

    def __init__(self, client: Client, http: httpx.AsyncClient) -> None:
        super().__init__(client, http)
        self._known: tuple[float, Metadata, KeySet] | None = None

    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        metadata, _ = await self._discover()
        return self._address(metadata.authorization_endpoint, flow, redirect_uri, nonce=flow.nonce)

    async def identify(self, code: str, flow: AuthorizationFlow, redirect_uri: str, issuer: str | None) -> Identity:
        metadata, keys = await self._discover()
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise self._refuse("the answer does not say whose it is")
        if issuer is not None and issuer != metadata.issuer:  # RFC 9207: a code of another provider
            raise self._refuse(f"the answer is of {issuer[:200]}")
        basic = "client_secret_basic" in metadata.token_endpoint_auth_methods_supported
        tokens = await self._trade(metadata.token_endpoint, code, flow, redirect_uri, secret_in_form=not basic)
        try:
            person = self._verify(tokens.id_token, metadata, keys, flow.nonce)
        except InvalidToken:  # a key that is newer than what is known?
            metadata, keys = await self._discover(anew=True)
            try:
                person = self._verify(tokens.id_token, metadata, keys, flow.nonce)
            except InvalidToken as error:
                raise self._refuse(f"id token: {error}") from error
        if person.email is None and metadata.userinfo_endpoint is not None:
            told = await self._ask("GET", metadata.userinfo_endpoint, token=tokens.access_token)
            person = self._same(person, told)
        verified = person.email_verified in {True, "true"}
        return Identity(self.client.name, person.sub, person.email, verified, person.name or "")

    async def _discover(self, *, anew: bool = False) -> tuple[Metadata, KeySet]:
        if self._known is None or anew or time.monotonic() - self._known[0] > KEPT_SECONDS:
            try:
                metadata = convert(await self._ask("GET", f"{self.client.url.rstrip('/')}{_DISCOVERY}"), Metadata)
                keys = import_key_set(await self._ask("GET", metadata.jwks_uri))
            except (InvalidToken, InvalidSignIn, ValidationError) as error:
                raise self._unavailable(f"its metadata cannot be used: {error!r}") from error
            endpoints = (
                metadata.authorization_endpoint,
                metadata.token_endpoint,
                metadata.jwks_uri,
                metadata.userinfo_endpoint,
            )
            scheme = self.client.url.partition("://")[0]
            if any(one is not None and not one.startswith(f"{scheme}://") for one in endpoints):
                raise self._unavailable(f"it names an address that is not {scheme}://")
            if metadata.issuer != self.client.url:  # exactly, as Discovery 1.0, 4.3 asks
                raise self._unavailable(f"it says to be {metadata.issuer[:200]}")
            self._known = time.monotonic(), metadata, keys
        return self._known[1:]

    def _verify(self, id_token: str, metadata: Metadata, keys: KeySet, nonce: str) -> Person:
        """What the token says (OpenID Connect Core 1.0, 3.1.3.7). Raises InvalidToken."""
        _, claims = decode(id_token, keys, ALGORITHMS, _IdToken)
        if claims.iss != metadata.issuer or claims.nonce != nonce:
            raise InvalidToken("it is of another issuer, or for another sign-in")
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if self.client.id not in audiences:
            raise InvalidToken("it is for another client")
        if claims.azp != self.client.id and (len(audiences) > 1 or claims.azp is not None):
            raise InvalidToken("it was given to another client")
        now, begins = time.time(), (claims.iat, claims.nbf)
        if claims.exp <= now - SKEW_SECONDS or max(begins) > now + SKEW_SECONDS:
            raise InvalidToken("it has expired, or is not valid yet")
        return claims

    def _same(self, person: Person, told: Any) -> Person:
        try:
            more = convert(told, Person)
        except ValidationError as error:
            raise self._refuse(f"userinfo: {error}") from error
        if more.sub != person.sub:  # Core 1.0, 5.3.2
            raise self._refuse("userinfo is of somebody else")
        return more
