"""How a request proves who the caller is: the hook for the authentication scheme of an application."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from restwell.auth import Actor
from restwell.errors import Unauthorized
from restwell.web._request import AuthScheme, Request
from restwell.web._session_cookies import ACCESS_COOKIE, reject_cross_site

Authenticate = Callable[[str], Awaitable[Actor]]
"""Returns the actor of an access token. Raises Unauthorized."""

Authentication = Authenticate | AuthScheme | type[Authenticate] | type[AuthScheme]
"""An authentication scheme, or a function of the access token; as a class it is built from services."""

BEARER_SCHEME: Final = "access_token"
COOKIE_SCHEME: Final = "session_cookie"
API_KEY_SCHEME: Final = "api_key"
"""Documented for the operations whose guards name a scope."""


class MissingCredentials(Unauthorized):
    """The request has no credentials, so that it is anonymous on a route where sign-in is optional."""


class TokenScheme:
    """An access token in the header ``Authorization: Bearer ...`` (RFC 6750), or with another ``scheme``.

    ``session_cookies``: browsers may send it in a cookie instead.
    """

    def __init__(self, verify: Authenticate, *, scheme: str = "Bearer", session_cookies: bool = False) -> None:
        self._verify = verify
        self.challenge = scheme
        self.uses_cookies = session_cookies
        is_bearer = scheme == "Bearer"
        token = (
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            if is_bearer
            else {"type": "apiKey", "in": "header", "name": "Authorization", "description": f"`{scheme} ...`"}
        )
        cookie = {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE}
        self.security: Mapping[str, Mapping[str, Any]] = {
            BEARER_SCHEME: token,
            **({COOKIE_SCHEME: cookie} if session_cookies else {}),
        }

    async def authenticate(self, request: Request) -> Actor:
        header = request.fields.get(b"authorization")
        if header is not None:
            scheme, _, token = header.decode("latin-1").partition(" ")
            if scheme.lower() != self.challenge.lower():
                token = ""
        else:
            token = request.cookies.get(ACCESS_COOKIE, "") if self.uses_cookies else ""
            if token:
                reject_cross_site(request)
        if not token:
            kind = MissingCredentials if header is None else Unauthorized
            error = kind(f"Send an access token: Authorization: {self.challenge} ...")
            error.headers["www-authenticate"] = self.challenge  # RFC 6750 3.1: no error code without a token
            raise error
        try:
            return await self._verify(token.strip(" \t"))
        except Unauthorized as error:
            challenge = error.headers.get("www-authenticate", "Bearer")
            error.headers["www-authenticate"] = challenge.replace("Bearer", self.challenge, 1)
            raise
