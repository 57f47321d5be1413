"""Sign-in with Facebook, which uses OAuth 2.0 and returns the user from its Graph API."""

import hmac
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth.oauth._provider import Identity, Provider
from restwell.auth.oauth._state import AuthorizationFlow

_FACEBOOK_HOSTS: Final = ("facebook.com", "www.facebook.com")


class _FacebookUser(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^[0-9]{1,40}$")]
    name: str = ""
    email: str | None = None


class Facebook(Provider):
    """Facebook does not state whether an email address is verified, so all are treated as unverified."""

    scope: ClassVar[str] = "email public_profile"

    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        return self._build_authorization_url(f"{self.client.url}/dialog/oauth", flow, redirect_uri)

    async def identify(
        self,
        code: str,
        flow: AuthorizationFlow,
        redirect_uri: str,
        issuer: str | None,  # noqa: ARG002  # the provider sends no ``iss``
    ) -> Identity:
        host = urlsplit(self.client.url).hostname
        graph = "https://graph.facebook.com" if host in _FACEBOOK_HOSTS else self.client.url
        tokens = await self._exchange_code(f"{graph}/oauth/access_token", code, flow, redirect_uri)
        proof = hmac.digest(
            self.client.secret.encode(), tokens.access_token.encode(), "sha256"
        ).hex()  # a stolen token cannot be used without the secret
        parameters = {"fields": "id,name,email", "appsecret_proof": proof}
        user = self._to_user(await self._request("GET", f"{graph}/me", token=tokens.access_token, params=parameters))
        return Identity(self.client.name, user.id, user.email, email_verified=False, name=user.name)

    def _to_user(self, body: Any) -> _FacebookUser:
        try:
            return convert(body, _FacebookUser)
        except ValidationError as error:
            raise self._reject(str(error)) from error
