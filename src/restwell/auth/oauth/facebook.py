"""Sign-in with Facebook, which speaks OAuth 2.0 but not OpenID Connect on the server."""

import hmac
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth.oauth.provider import Identity, Provider
from restwell.auth.oauth.state import AuthorizationFlow

_FACEBOOK: Final = ("facebook.com", "www.facebook.com")


class _FacebookUser(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^[0-9]{1,40}$")]
    name: str = ""
    email: str | None = None


class Facebook(Provider):
    """It does not say whether an address was verified, so none of its is taken for that."""

    scope: ClassVar[str] = "email public_profile"

    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        return self._address(f"{self.client.url}/dialog/oauth", flow, redirect_uri)

    async def identify(self, code: str, flow: AuthorizationFlow, redirect_uri: str, issuer: str | None) -> Identity:  # noqa: ARG002  # says none
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
