"""A sign-in that is on its way: what ties the provider's answer to the browser that asked for it.

The browser holds one random text in a cookie. State, nonce and PKCE verifier are derived from all of it with a key only the server
has: nothing is stored, and an answer for another browser, another provider or another purpose fits no cookie.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from restwell.errors import AppError

SECONDS: Final = 600
"""How long a sign-in may take."""

_CHAR: Final = r"[A-Za-z0-9._~!$&'()*+,;=:@-]"
_IN_PATH: Final = rf"(?:{_CHAR}|%(?!0|1|2[Ff]|5[Cc]|7[Ff])[0-9A-Fa-f]{{2}})"
_AFTER_PATH: Final = rf"(?:{_CHAR}|[/?]|%[0-9A-Fa-f]{{2}})*"

ReturnTo = Annotated[
    str,
    Meta(
        max_length=500,
        pattern=rf"^/(?:{_IN_PATH}+(?:/{_IN_PATH}*)*)?(?:\?{_AFTER_PATH})?(?:#{_AFTER_PATH})?$(?![\s\S])",
        description="Where the browser goes in the end: a path of this host, with or without a query and a fragment, percent-encoded "
        "as in `location.pathname`. `?error=` tells it of a failure.",
        examples=["/account"],
    ),
]
"""RFC 3986 4.2, of our own origin: a path that begins with one slash, and has no encoded slash, backslash or control character."""


class InvalidSignIn(AppError):
    code, status = "invalid_sign_in", 400
    message = (
        "This sign-in was not begun in this browser, took longer than ten minutes, or was used before. Begin it again."
    )


class AuthorizationFlow(Struct, frozen=True):
    """``return_to`` is where the browser goes in the end, ``user_id`` who adds a way to sign in; each may be None."""

    cookie: str
    provider: str
    state: str
    nonce: str
    verifier: str
    return_to: str | None
    user_id: UUID | None

    @property
    def challenge(self) -> str:
        """Of the verifier, by S256 (RFC 7636 4.2)."""
        return _text(sha256(self.verifier.encode()).digest())

    def location(self, error: str | None = None) -> str | None:
        """``return_to``, with the code of an error in its query; None, where there is none."""
        if self.return_to is None or error is None:
            return self.return_to
        parts = urlsplit(self.return_to)
        query = "&".join(filter(None, (parts.query, urlencode({"error": error}))))
        return parts._replace(query=query).geturl()


class _Begun(Struct, frozen=True, array_like=True):
    provider: str
    at: int
    random: bytes
    return_to: ReturnTo | None
    user_id: UUID | None


class AuthorizationFlows:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def start(self, provider: str, *, return_to: str | None = None, user_id: UUID | None = None) -> AuthorizationFlow:
        """Raises ValueError for a ``return_to`` that is none."""
        begun = _Begun(provider, int(time.time()), secrets.token_bytes(32), return_to, user_id)
        try:
            msgspec.convert(return_to, ReturnTo | None)
        except msgspec.ValidationError as error:
            raise ValueError(f"return_to: {error}") from None
        return self._flow(_text(msgspec.msgpack.encode(begun)), begun)

    def resume(self, cookie: str, provider: str, state: str) -> AuthorizationFlow:
        """The flow that an answer of this provider, with this state, belongs to. Raises InvalidSignIn, for all that fits none."""
        try:
            raw = urlsafe_b64decode(cookie.encode("ascii") + b"=" * (-len(cookie) % 4))
            begun = msgspec.msgpack.decode(raw, type=_Begun)
        except (ValueError, msgspec.MsgspecError):
            raise InvalidSignIn from None
        flow = self._flow(cookie, begun)
        fits = hmac.compare_digest(flow.state.encode(), state.encode(errors="replace"))
        if not fits or begun.provider != provider or not 0 <= time.time() - begun.at < SECONDS:
            raise InvalidSignIn
        return flow

    def _flow(self, cookie: str, begun: _Begun) -> AuthorizationFlow:
        state, nonce, verifier = (self._derive(purpose, cookie) for purpose in ("state", "nonce", "verifier"))
        return AuthorizationFlow(cookie, begun.provider, state, nonce, verifier, begun.return_to, begun.user_id)

    def _derive(self, purpose: str, cookie: str) -> str:
        return _text(hmac.digest(self._key, f"{purpose}:{cookie}".encode(), "sha256"))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
