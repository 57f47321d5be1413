"""Browser sessions: access and refresh token in ``HttpOnly`` cookies, with CSRF protection.

``__Host-`` binds the cookies to this host over TLS; browsers accept localhost too. ``SameSite=Strict`` excludes them
from cross-site requests. In addition, Sec-Fetch-Site or Origin of each request is checked.
"""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from restwell.errors import Forbidden

ACCESS_COOKIE: Final = "__Host-access"
REFRESH_COOKIE: Final = "__Host-refresh"
OAUTH_STATE_COOKIE: Final = "__Host-oauth-state"

SESSION_COOKIES: Final = "session_cookies"
"""Key in the application state: whether session cookies are enabled."""

_MAX_COOKIE_SECONDS: Final = 400 * 86_400

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Safe methods (RFC 9110 9.2.1)."""

Connection = ASGIConnection[Any, Any, Any, Any]


class CrossSiteRequest(Forbidden):
    """A request with a session cookie does not come from a page of this site."""

    code = "cross_site_request"
    message = "Requests with a session cookie must come from a page of this site. Other clients send an access token."


def session_cookies(access_token: str, refresh_token: str, *, access_seconds: int) -> list[Cookie]:
    """Both cookies. The refresh cookie has the longest lifetime that browsers allow; the server enforces its expiry."""
    return [
        _cookie(ACCESS_COOKIE, access_token, access_seconds),
        _cookie(REFRESH_COOKIE, refresh_token, _MAX_COOKIE_SECONDS),
    ]


def expired_session_cookies() -> list[Cookie]:
    """Cookies that delete both."""
    return [_cookie(ACCESS_COOKIE, "", 0), _cookie(REFRESH_COOKIE, "", 0)]


def oauth_state_cookie(flow: str, seconds: int) -> Cookie:
    """Binds an OAuth sign-in to this browser. Lax, because the provider redirects the browser back."""
    return Cookie(OAUTH_STATE_COOKIE, value=flow, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def reject_cross_site(connection: Connection) -> None:
    """Raises CrossSiteRequest for an unsafe request that does not come from a page of the same origin.

    Browsers send Sec-Fetch-Site since 2023, and Origin with every unsafe request. A request without both is rejected.
    """
    if connection.scope["method"] in SAFE_METHODS:  # type: ignore[typeddict-item]  # never a websocket
        return
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        same_origin = site == "same-origin"
    else:
        host = connection.headers.get("host")
        same_origin = bool(host) and connection.headers.get("origin") in {f"https://{host}", f"http://{host}"}
    if not same_origin:
        raise CrossSiteRequest


def _cookie(name: str, value: str, seconds: int) -> Cookie:
    return Cookie(name, value=value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")
