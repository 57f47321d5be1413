"""The state of an authorization code flow: it binds the provider's response to the browser that started the flow.

The browser stores a random value in a cookie. State, nonce and PKCE verifier are derived from the cookie with a server
key. The server stores nothing, and rejects a response for another browser, provider or purpose.
"""

import hmac
import secrets
import time
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from restwell import _base64url as base64url
from restwell._signing import SignedTokens
from restwell.errors import AppError

FLOW_TTL_SECONDS: Final = 600
"""Lifetime of a flow."""

_SCOPE: Final = "sign-in"
_CHAR: Final = r"[A-Za-z0-9._~!$&'()*+,;=:@-]"
_IN_PATH: Final = rf"(?:{_CHAR}|%(?!0|1|2[Ff]|5[Cc]|7[Ff])[0-9A-Fa-f]{{2}})"
_AFTER_PATH: Final = rf"(?:{_CHAR}|[/?]|%[0-9A-Fa-f]{{2}})*"

ReturnTo = Annotated[
    str,
    Meta(
        max_length=500,
        pattern=rf"^/(?:{_IN_PATH}+(?:/{_IN_PATH}*)*)?(?:\?{_AFTER_PATH})?(?:#{_AFTER_PATH})?$(?![\s\S])",
        description="Where the browser is redirected after the sign-in: a path of this host, with optional query and "
        "fragment, percent-encoded as in `location.pathname`. After a failure it has the query parameter `error`.",
        examples=["/account"],
    ),
]
"""A same-origin reference (RFC 3986 4.2): one leading slash, no encoded slash, backslash or control character."""


class InvalidSignIn(AppError):
    """The provider's response belongs to no flow of this browser, or its flow has expired."""

    code, status = "invalid_sign_in", 400
    message = (
        "This sign-in was not started in this browser, took longer than ten minutes, or was already used. Start again."
    )


class AuthorizationFlow(Struct, frozen=True):
    """``return_to`` is the final redirect target. ``user_id`` is set to link an identity to that account."""

    cookie: str
    provider: str
    state: str
    nonce: str
    verifier: str
    return_to: str | None
    user_id: UUID | None

    @property
    def challenge(self) -> str:
        """The PKCE code challenge, S256 (RFC 7636 4.2)."""
        return base64url.encode(sha256(self.verifier.encode()).digest())

    def location(self, error: str | None = None) -> str | None:
        """``return_to`` with the error code in its query. None without a ``return_to``."""
        if self.return_to is None or error is None:
            return self.return_to
        parts = urlsplit(self.return_to)
        query = "&".join(filter(None, (parts.query, urlencode({"error": error}))))
        return parts._replace(query=query).geturl()


class _CookieContent(Struct, frozen=True, array_like=True):
    provider: str
    started_at: int
    random: bytes
    return_to: ReturnTo | None
    user_id: UUID | None


class AuthorizationFlows:
    """Starts and resumes flows. Nothing is stored: the state is in the cookie. A flow ends after FLOW_TTL_SECONDS."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cookies = SignedTokens(key)

    def start(self, provider: str, *, return_to: str | None = None, user_id: UUID | None = None) -> AuthorizationFlow:
        """Start a flow. Raises ValueError for an invalid ``return_to``."""
        content = _CookieContent(provider, int(time.time()), secrets.token_bytes(32), return_to, user_id)
        try:
            msgspec.convert(return_to, ReturnTo | None)
        except msgspec.ValidationError as error:
            raise ValueError(f"return_to: {error}") from None
        return self._flow(self._cookies.encode(_SCOPE, content), content)

    def resume(self, cookie: str, provider: str, state: str) -> AuthorizationFlow:
        """Restore the flow of a provider's response. Raises InvalidSignIn if it is expired or does not match."""
        try:
            content = self._cookies.decode(_SCOPE, cookie, _CookieContent)
        except ValueError:
            raise InvalidSignIn from None
        flow = self._flow(cookie, content)
        matches = hmac.compare_digest(flow.state.encode(), state.encode(errors="replace"))
        if not matches or content.provider != provider or not 0 <= time.time() - content.started_at < FLOW_TTL_SECONDS:
            raise InvalidSignIn
        return flow

    def _flow(self, cookie: str, content: _CookieContent) -> AuthorizationFlow:
        state, nonce, verifier = (self._derive(purpose, cookie) for purpose in ("state", "nonce", "verifier"))
        return AuthorizationFlow(cookie, content.provider, state, nonce, verifier, content.return_to, content.user_id)

    def _derive(self, purpose: str, cookie: str) -> str:
        return base64url.encode(hmac.digest(self._key, f"{purpose}:{cookie}".encode(), "sha256"))
