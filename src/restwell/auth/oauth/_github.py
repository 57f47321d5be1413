"""Sign-in with GitHub, which uses OAuth 2.0 but not OpenID Connect."""

from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth.oauth._provider import Identity, Provider
from restwell.auth.oauth._state import AuthorizationFlow

_GITHUB_HOST: Final = "github.com"


class _GitHubUser(Struct, frozen=True):
    id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    login: str
    name: str | None = None


class _GitHubEmail(Struct, frozen=True):
    email: str
    primary: bool
    verified: bool


class GitHub(Provider):
    """github.com or a GitHub Enterprise Server."""

    scope: ClassVar[str] = "read:user user:email"

    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        return self._build_authorization_url(f"{self.client.url}/login/oauth/authorize", flow, redirect_uri)

    async def identify(
        self,
        code: str,
        flow: AuthorizationFlow,
        redirect_uri: str,
        issuer: str | None,  # noqa: ARG002  # the provider sends no ``iss``
    ) -> Identity:
        tokens = await self._exchange_code(f"{self.client.url}/login/oauth/access_token", code, flow, redirect_uri)
        host = urlsplit(self.client.url).hostname
        api = "https://api.github.com" if host == _GITHUB_HOST else f"{self.client.url}/api/v3"
        try:
            user = convert(await self._request("GET", f"{api}/user", token=tokens.access_token), _GitHubUser)
            emails = convert(
                await self._request("GET", f"{api}/user/emails", token=tokens.access_token), list[_GitHubEmail]
            )
        except ValidationError as error:
            raise self._reject(str(error)) from error
        primary = next((each for each in emails if each.primary), None)
        email, verified = (primary.email, primary.verified) if primary is not None else (None, False)
        return Identity(self.client.name, str(user.id), email, verified, user.name or user.login)
