"""What every provider has in common: the address to send the browser to, and the trade of its code for who it is."""

import asyncio
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote_plus, urlencode

import httpx
import structlog
from msgspec import Meta, MsgspecError, Struct, ValidationError, convert, json

from restwell.auth.oauth.state import AuthorizationFlow, InvalidSignIn
from restwell.errors import Forbidden, ServiceUnavailable

log = structlog.get_logger("restwell.auth")

SECONDS: Final = 3.0
"""How long a provider may take for each answer."""
MAX_ANSWER_BYTES: Final = 262_144
_MAX_CODE: Final = 2_048
_UNAVAILABLE: Final = 500
_BUSY: Final = 429


class SignInRefused(Forbidden):
    code, message = "sign_in_refused", "The provider did not let you in, or did not say who you are."


class ProviderUnavailable(ServiceUnavailable):
    code, message = "provider_unavailable", "The provider of this sign-in does not answer. Try again shortly."


class Identity(Struct, frozen=True):
    """Who someone is elsewhere. ``subject`` is the provider's and never changes; an address is theirs only if ``email_verified``."""

    provider: str
    subject: str
    email: str | None
    email_verified: bool
    name: str


class Client(Struct, frozen=True):
    """What the provider knows this application by, and where the provider is."""

    name: str
    id: str
    secret: str
    url: str


class Tokens(Struct, frozen=True):
    access_token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,16384}\Z")]
    id_token: Annotated[str, Meta(max_length=65_536)] = ""


class Provider(ABC):
    """One that people may sign in with. What goes wrong is logged with its cause; the caller learns what to do."""

    scope: ClassVar[str]

    def __init__(self, client: Client, http: httpx.AsyncClient) -> None:
        self.client = client
        self._http = http

    @abstractmethod
    async def authorization_url(self, flow: AuthorizationFlow, redirect_uri: str) -> str:
        """Where the browser goes to sign in. Raises ProviderUnavailable."""

    @abstractmethod
    async def identify(self, code: str, flow: AuthorizationFlow, redirect_uri: str, issuer: str | None) -> Identity:
        """Who the code, which came back with this ``iss``, is for. Raises InvalidSignIn, ProviderUnavailable."""

    def _address(self, endpoint: str, flow: AuthorizationFlow, redirect_uri: str, **more: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": redirect_uri,
            "scope": self.scope,
            "state": flow.state,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def _trade(
        self, endpoint: str, code: str, flow: AuthorizationFlow, redirect_uri: str, *, secret_in_form: bool = True
    ) -> Tokens:
        """The provider's tokens for a code, which is worth nothing afterwards."""
        if len(code) > _MAX_CODE:
            raise InvalidSignIn
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        encoded = (quote_plus(self.client.id), quote_plus(self.client.secret))  # RFC 6749 2.3.1
        how: dict[str, Any] = {"data": form, "auth": encoded}
        if secret_in_form:
            how = {"data": {**form, "client_id": self.client.id, "client_secret": self.client.secret}}
        try:
            return convert(await self._ask("POST", endpoint, **how), Tokens)
        except ValidationError as error:
            raise self._refuse(f"tokens: {error}") from error

    async def _ask(self, method: str, url: str, *, token: str | None = None, **how: Any) -> Any:
        """The JSON that the provider answers. Raises InvalidSignIn, ProviderUnavailable."""
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        try:
            async with asyncio.timeout(SECONDS), self._http.stream(method, url, headers=headers, **how) as answer:
                content = await _content(answer)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise self._unavailable(f"{url}: {error!r}") from error
        if answer.status_code >= _UNAVAILABLE or answer.status_code == _BUSY:
            raise self._unavailable(f"{url} answers {answer.status_code}")
        try:
            body = json.decode(content)
        except (MsgspecError, RecursionError, ValueError):
            raise self._unavailable(f"{url} answers no JSON") from None
        if not answer.is_success or (isinstance(body, dict) and "error" in body):  # GitHub says so with a 200
            raise self._refuse(f"{url} answers {answer.status_code}: {content[:200]!r}")
        return body

    def _refuse(self, cause: str) -> InvalidSignIn:
        log.warning("oauth_response_rejected", provider=self.client.name, cause=cause)
        return InvalidSignIn()

    def _unavailable(self, cause: str) -> ProviderUnavailable:
        log.warning("provider_unavailable", provider=self.client.name, cause=cause)
        return ProviderUnavailable()


async def _content(answer: httpx.Response) -> bytes:
    """The body as it was sent. Raises ValueError for a large one."""
    content = bytearray()
    async for part in answer.aiter_raw():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES:,} bytes")
    return bytes(content)
