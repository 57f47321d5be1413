"""Sessions of browsers: the tokens in cookies that no script can read, and that no page of another site can use.

``__Host-`` ties them to this host over TLS (browsers take localhost for that too); ``SameSite=Strict`` keeps them out of requests that
other sites make, and where a browser sends them all the same, what it says of the request's origin decides.
"""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from restwell.errors import Forbidden

ACCESS_COOKIE: Final = "__Host-access"
REFRESH_COOKIE: Final = "__Host-refresh"
OAUTH_STATE_COOKIE: Final = "__Host-oauth-state"

SESSION_COOKIES: Final = "session_cookies"
"""In the application's state: whether it has any."""

_LONGEST: Final = 400 * 86_400

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 9.2.1)."""

Connection = ASGIConnection[Any, Any, Any, Any]


class CrossSiteRequest(Forbidden):
    code = "cross_site_request"
    message = (
        "Signed in by a cookie, a change can only be asked for by a page of this site. Elsewhere send an access token."
    )


def session_cookies(access_token: str, refresh_token: str, *, access_seconds: int) -> list[Cookie]:
    """The pair. That with the refresh token stays as long as browsers keep one; the server knows when it ends."""
    return [_cookie(ACCESS_COOKIE, access_token, access_seconds), _cookie(REFRESH_COOKIE, refresh_token, _LONGEST)]


def expired_session_cookies() -> list[Cookie]:
    """What makes a browser forget the pair."""
    return [_cookie(ACCESS_COOKIE, "", 0), _cookie(REFRESH_COOKIE, "", 0)]


def oauth_state_cookie(flow: str, seconds: int) -> Cookie:
    """What ties a sign-in elsewhere to this browser. Lax, as it is the provider's page that sends the browser back."""
    return Cookie(OAUTH_STATE_COOKIE, value=flow, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def reject_cross_site(connection: Connection) -> None:
    """Raises CrossSiteRequest for a change that no page of our own origin asks for, as far as the browser says so.

    Every browser since 2023 sends Sec-Fetch-Site, and all send Origin with such a request; a client that sends neither is none.
    """
    if connection.scope["method"] in SAFE_METHODS:  # type: ignore[typeddict-item]  # a guard sees requests only
        return
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        ours = site == "same-origin"
    else:
        host = connection.headers.get("host")
        ours = bool(host) and connection.headers.get("origin") in {f"https://{host}", f"http://{host}"}
    if not ours:
        raise CrossSiteRequest


def _cookie(name: str, value: str, seconds: int) -> Cookie:
    return Cookie(name, value=value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")
