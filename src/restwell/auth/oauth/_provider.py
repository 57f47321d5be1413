"""Base class of identity providers: the authorization URL, the code exchange and the requests to the provider."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote_plus, urlencode

import httpx
import structlog
from msgspec import Meta, Struct, ValidationError, convert

from restwell.auth._http import Refused, Unreachable, request_json
from restwell.auth.oauth._state import AuthorizationFlow, InvalidSignIn
from restwell.errors import Forbidden, ServiceUnavailable

log = structlog.get_logger("restwell.auth")

_MAX_CODE: Final = 2_048


class SignInRefused(Forbidden):
    """The provider denied the sign-in, or its response has no identity."""

    code, message = "sign_in_refused", "The provider denied the sign-in, or did not return your identity."


class ProviderUnavailable(ServiceUnavailable):
    """The provider does not respond, or responds with an error of its own."""

    code, message = "provider_unavailable", "The identity provider is unavailable. Try again shortly."


class Identity(Struct, frozen=True):
    """A user's identity at a provider. ``subject`` never changes. Trust ``email`` only if ``email_verified``."""

    provider: str
    subject: str
    email: str | None
    email_verified: bool
    name: str


class Client(Struct, frozen=True):
    """The registration of this application with a provider. ``url`` is the provider's base URL or issuer."""

    name: str
    id: str
    secret: str
    url: str


class Tokens(Struct, frozen=True):
    """The response of the token endpoint. ``id_token`` is empty without OpenID Connect."""

    access_token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,16384}\Z")]
    id_token: Annotated[str, Meta(max_length=65_536)] = ""


class Provider(ABC):
    """An identity provider. Failures are logged with their cause; the exceptions carry only what the client needs."""

    scope: ClassVar[str]

    def __init__(self, client: Client, http: httpx.AsyncClient) -> None:
        self.client = client
        self._http = http

    @abstractmethod
    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        """The URL to redirect the browser to. Raises ProviderUnavailable."""

    @abstractmethod
    async def identify(self, code: str, flow: AuthorizationFlow, redirect_uri: str, issuer: str | None) -> Identity:
        """Exchange the code for the user's identity. ``issuer`` is the ``iss`` parameter of the response (RFC 9207).

        Raises InvalidSignIn, ProviderUnavailable.
        """

    def _build_authorization_url(self, endpoint: str, flow: AuthorizationFlow, redirect_uri: str, **extra: str) -> str:
        parameters = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": redirect_uri,
            "scope": self.scope,
            "state": flow.state,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
            **extra,
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    async def _exchange_code(
        self, endpoint: str, code: str, flow: AuthorizationFlow, redirect_uri: str, *, secret_in_form: bool = True
    ) -> Tokens:
        """Exchange the authorization code for tokens. A code can be used once."""
        if len(code) > _MAX_CODE:
            raise InvalidSignIn
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        encoded = (quote_plus(self.client.id), quote_plus(self.client.secret))  # RFC 6749 2.3.1
        arguments: dict[str, Any] = {"data": form, "auth": encoded}
        if secret_in_form:
            arguments = {"data": {**form, "client_id": self.client.id, "client_secret": self.client.secret}}
        try:
            return convert(await self._request("POST", endpoint, **arguments), Tokens)
        except ValidationError as error:
            raise self._reject(f"tokens: {error}") from error

    async def _request(self, method: str, url: str, *, token: str | None = None, **arguments: Any) -> Any:
        """Send a request and decode its JSON response. Raises InvalidSignIn, ProviderUnavailable."""
        try:
            return await request_json(self._http, method, url, token=token, **arguments)
        except Unreachable as error:
            raise self._unavailable(str(error)) from error
        except Refused as error:
            raise self._reject(str(error)) from error

    def _reject(self, cause: str) -> InvalidSignIn:
        log.warning("oauth_response_rejected", provider=self.client.name, cause=cause)
        return InvalidSignIn()

    def _unavailable(self, cause: str) -> ProviderUnavailable:
        log.warning("provider_unavailable", provider=self.client.name, cause=cause)
        return ProviderUnavailable()
