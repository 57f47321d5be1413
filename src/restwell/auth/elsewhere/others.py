"""GitHub and Facebook, which speak OAuth 2 and each their own way of saying who someone is."""

import hmac
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth.elsewhere.flow import Flow
from restwell.auth.elsewhere.provider import Identity, Provider

_GITHUB: Final = "github.com"
_FACEBOOK: Final = ("facebook.com", "www.facebook.com")


class _GitHubUser(Struct, frozen=True):
    id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    login: str
    name: str | None = None


class _GitHubEmail(Struct, frozen=True):
    email: str
    primary: bool
    verified: bool


class GitHub(Provider):
    """github.com, or a GitHub Enterprise Server."""

    scope: ClassVar[str] = "read:user user:email"

    async def authorization_url(self, flow: Flow, redirect_uri: str) -> str:
        return self._address(f"{self.client.url}/login/oauth/authorize", flow, redirect_uri)

    async def identify(self, code: str, flow: Flow, redirect_uri: str, issuer: str | None) -> Identity:  # noqa: ARG002  # says none
        tokens = await self._trade(f"{self.client.url}/login/oauth/access_token", code, flow, redirect_uri)
        host = urlsplit(self.client.url).hostname
        api = "https://api.github.com" if host == _GITHUB else f"{self.client.url}/api/v3"
        try:
            user = convert(await self._ask("GET", f"{api}/user", token=tokens.access_token), _GitHubUser)
            emails = convert(
                await self._ask("GET", f"{api}/user/emails", token=tokens.access_token), list[_GitHubEmail]
            )
        except ValidationError as error:
            raise self._refuse(str(error)) from error
        primary = next((one for one in emails if one.primary), None)
        email, verified = (primary.email, primary.verified) if primary is not None else (None, False)
        return Identity(self.client.name, str(user.id), email, verified, user.name or user.login)


class _FacebookUser(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^[0-9]{1,40}$")]
    name: str = ""
    email: str | None = None


class Facebook(Provider):
    """It does not say whether an address was verified, so none of its is taken for that."""

    scope: ClassVar[str] = "email public_profile"

    async def authorization_url(self, flow: Flow, redirect_uri: str) -> str:
        return self._address(f"{self.client.url}/dialog/oauth", flow, redirect_uri)

    async def identify(self, code: str, flow: Flow, redirect_uri: str, issuer: str | None) -> Identity:  # noqa: ARG002  # says none
        host = urlsplit(self.client.url).hostname
        graph = "https://graph.facebook.com" if host in _FACEBOOK else self.client.url
        tokens = await self._trade(f"{graph}/oauth/access_token", code, flow, redirect_uri)
        proof = hmac.digest(
            self.client.secret.encode(), tokens.access_token.encode(), "sha256"
        ).hex()  # what makes a stolen token useless
        asked = {"fields": "id,name,email", "appsecret_proof": proof}
        user = self._user(await self._ask("GET", f"{graph}/me", token=tokens.access_token, params=asked))
        return Identity(self.client.name, user.id, user.email, email_verified=False, name=user.name)

    def _user(self, told: Any) -> _FacebookUser:
        try:
            return convert(told, _FacebookUser)
        except ValidationError as error:
            raise self._refuse(str(error)) from error
