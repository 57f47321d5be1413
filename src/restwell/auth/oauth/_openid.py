"""OpenID Connect providers, such as Google, discovered by their issuer URL. The identity comes from the ID token."""

import time
from typing import Annotated, Any, ClassVar

import httpx
from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth._issuer import (
    ALGORITHMS,
    SKEW_SECONDS,
    Documents,
    Issuer,
    IssuerUnavailable,
    Metadata,
    Url,
    openid_metadata_url,
)
from restwell.auth._jose import InvalidToken, decode
from restwell.auth.oauth._provider import Client, Identity, Provider
from restwell.auth.oauth._state import AuthorizationFlow


class ProviderMetadata(Metadata, frozen=True, kw_only=True):
    """OpenID Connect Discovery 1.0, 3."""

    authorization_endpoint: Url
    token_endpoint: Url
    userinfo_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class UserClaims(Struct, frozen=True):
    """Claims of the ID token and of the UserInfo endpoint. Some providers send ``email_verified`` as a string."""

    sub: Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,255}$")]
    email: str | None = None
    email_verified: bool | str = False
    name: str | None = None


class IdTokenClaims(UserClaims, frozen=True, kw_only=True):
    """OpenID Connect Core 1.0, 2."""

    iss: str
    aud: str | tuple[str, ...]
    nonce: str
    iat: float
    exp: float
    nbf: float = 0.0
    azp: str | None = None


class OpenIdProvider(Provider):
    """An OpenID Connect provider. Its metadata and keys are cached, and fetched again for an unknown key."""

    scope: ClassVar[str] = "openid email profile"

    def __init__(self, client: Client, http: httpx.AsyncClient) -> None:
        super().__init__(client, http)
        self._issuer = Issuer(client.url, http, ProviderMetadata, metadata_urls=[openid_metadata_url(client.url)])

    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        metadata = (await self._discover()).metadata
        return self._build_authorization_url(metadata.authorization_endpoint, flow, redirect_uri, nonce=flow.nonce)

    async def identify(self, code: str, flow: AuthorizationFlow, redirect_uri: str, issuer: str | None) -> Identity:
        documents = await self._discover()
        metadata = documents.metadata
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise self._reject("the response has no iss parameter")
        if issuer is not None and issuer != metadata.issuer:  # RFC 9207: the code of another provider
            raise self._reject(f"the response is of the issuer {issuer[:200]}")
        basic = "client_secret_basic" in metadata.token_endpoint_auth_methods_supported
        tokens = await self._exchange_code(metadata.token_endpoint, code, flow, redirect_uri, secret_in_form=not basic)
        try:
            claims = self._verify(tokens.id_token, documents, flow.nonce)
        except InvalidToken:  # perhaps signed with a key newer than the cached ones
            documents = await self._discover(refresh=True)
            try:
                claims = self._verify(tokens.id_token, documents, flow.nonce)
            except InvalidToken as error:
                raise self._reject(f"ID token: {error}") from error
        if claims.email is None and metadata.userinfo_endpoint is not None:
            body = await self._request("GET", metadata.userinfo_endpoint, token=tokens.access_token)
            claims = self._validate_userinfo(claims, body)
        verified = claims.email_verified in {True, "true"}
        return Identity(self.client.name, claims.sub, claims.email, verified, claims.name or "")

    async def _discover(self, *, refresh: bool = False) -> Documents[ProviderMetadata]:
        try:
            return await (self._issuer.refresh() if refresh else self._issuer.get())
        except IssuerUnavailable as error:
            raise self._unavailable(str(error)) from error

    def _verify(self, id_token: str, documents: Documents[ProviderMetadata], nonce: str) -> UserClaims:
        """Validate the ID token (OpenID Connect Core 1.0, 3.1.3.7). Raises InvalidToken."""
        _, claims = decode(id_token, documents.keys, ALGORITHMS, IdTokenClaims)
        if claims.iss != documents.metadata.issuer or claims.nonce != nonce:
            raise InvalidToken("wrong issuer or nonce")
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if self.client.id not in audiences:
            raise InvalidToken("wrong audience")
        if claims.azp != self.client.id and (len(audiences) > 1 or claims.azp is not None):
            raise InvalidToken("wrong authorized party")
        now, valid_from = time.time(), (claims.iat, claims.nbf)
        if claims.exp <= now - SKEW_SECONDS or max(valid_from) > now + SKEW_SECONDS:
            raise InvalidToken("expired, or not valid yet")
        return claims

    def _validate_userinfo(self, claims: UserClaims, body: Any) -> UserClaims:
        try:
            userinfo = convert(body, UserClaims)
        except ValidationError as error:
            raise self._reject(f"userinfo: {error}") from error
        if userinfo.sub != claims.sub:  # Core 1.0, 5.3.2
            raise self._reject("userinfo: wrong subject")
        return userinfo
