"""Browser sessions: access and refresh token in ``HttpOnly`` cookies, with CSRF protection.

``__Host-`` binds the cookies to this host over TLS; browsers accept localhost too. ``SameSite=Strict`` excludes them
from cross-site requests. In addition, Sec-Fetch-Site or Origin of each request is checked.
"""

from typing import Final

from restwell.errors import Forbidden
from restwell.web._request import Request
from restwell.web._responses import Cookie

ACCESS_COOKIE: Final = "__Host-access"
REFRESH_COOKIE: Final = "__Host-refresh"
OAUTH_STATE_COOKIE: Final = "__Host-oauth-state"

_MAX_COOKIE_SECONDS: Final = 400 * 86_400

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Safe methods (RFC 9110 9.2.1)."""


class CrossSiteRequest(Forbidden):
    """A request with a session cookie does not come from a page of this site."""

    code = "cross_site_request"
    message = "Requests with a session cookie must come from a page of this site. Other clients send an access token."


def session_cookies(access_token: str, refresh_token: str, *, access_seconds: int) -> list[Cookie]:
    """Both cookies. The refresh cookie has the longest lifetime that browsers allow; the server enforces its expiry."""
    return [
        Cookie(ACCESS_COOKIE, access_token, access_seconds),
        Cookie(REFRESH_COOKIE, refresh_token, _MAX_COOKIE_SECONDS),
    ]


def expired_session_cookies() -> list[Cookie]:
    """Cookies that delete both."""
    return [Cookie(ACCESS_COOKIE, "", 0), Cookie(REFRESH_COOKIE, "", 0)]


def oauth_state_cookie(flow: str, seconds: int) -> Cookie:
    """Binds an OAuth sign-in to this browser. Lax, because the provider redirects the browser back."""
    return Cookie(OAUTH_STATE_COOKIE, flow, seconds, "Lax")


def reject_cross_site(request: Request) -> None:
    """Raises CrossSiteRequest for an unsafe request that does not come from a page of the same origin.

    Browsers send Sec-Fetch-Site since 2023, and Origin with every unsafe request. A request without both is rejected.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        same_origin = site == "same-origin"
    else:
        host = request.headers.get("host")
        same_origin = bool(host) and request.headers.get("origin") in {f"https://{host}", f"http://{host}"}
    if not same_origin:
        raise CrossSiteRequest
