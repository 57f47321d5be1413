"""Session cookies: their attributes, and the requests of other sites that are refused although they have the cookie."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api_client import assert_problem
from restwell import Restwell
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import (
    Controller,
    TokenScheme,
    Version,
    expired_session_cookies,
    get,
    oauth_state_cookie,
    post,
    session_cookies,
    signed_in,
)
from restwell.web._session_cookies import ACCESS_COOKIE
from tiny.app import authenticate

HOST = "app.test"


class Purse(Controller):
    path = "/purse"

    @get(guards=[signed_in])
    async def read(self) -> str:
        """Read."""
        return "read"

    @post(guards=[signed_in], status_code=200)
    async def change(self) -> str:
        """Change."""
        return "changed"


@pytest.fixture
async def browser(tiny_settings: Settings, enabled: bool) -> AsyncIterator[httpx.AsyncClient]:  # noqa: FBT001  # a fixture
    """A client with a valid session cookie."""
    app = Restwell(tiny_settings, name="purses").app(
        [Version("/v1", [Purse])], authenticate=TokenScheme(authenticate, session_cookies=enabled)
    )
    async with running(app) as client:
        client.headers["cookie"] = f"theme=dark; {ACCESS_COOKIE}=owner"
        yield client


@pytest.fixture
def enabled() -> bool:
    return True


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"origin": f"https://{HOST}"},
        {"sec-fetch-site": "same-origin", "origin": "https://rewritten-by-a-proxy.example"},
    ],
)
async def test_a_page_of_the_same_origin_may_change_something(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await browser.post("/v1/purse", headers=headers)).text == "changed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": f"https://{HOST}"},
        {"origin": "https://evil.example"},
        {"origin": f"https://{HOST}.evil.example"},
        {"origin": f"https://evil.{HOST}"},
        {"origin": "null"},
        {"referer": f"https://{HOST}/"},
    ],
)
async def test_a_page_of_another_site_may_change_nothing(browser: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Breaks when a request without both headers is trusted, and when a subdomain counts as the same origin."""
    assert_problem(await browser.post("/v1/purse", headers=headers), 403, "cross_site_request")


async def test_a_safe_request_and_a_request_with_an_access_token_need_no_origin(browser: httpx.AsyncClient) -> None:
    """A browser sends no such header with a link, and no other site can send an access token."""
    assert (await browser.get("/v1/purse", headers={"sec-fetch-site": "cross-site"})).text == "read"
    bearer = {"authorization": "Bearer owner", "sec-fetch-site": "cross-site"}
    assert (await browser.post("/v1/purse", headers=bearer)).text == "changed"


@pytest.mark.parametrize("enabled", [False])
async def test_an_application_without_session_cookies_ignores_them(browser: httpx.AsyncClient) -> None:
    assert_problem(await browser.get("/v1/purse"), 401, "unauthorized")


def test_session_cookies_are_bound_to_the_host_and_invisible_to_scripts() -> None:
    """Breaks without `Path=/` or with a domain: browsers then refuse a cookie whose name begins with `__Host-`."""
    for cookie in session_cookies("a", "r", access_seconds=900):
        text = cookie.header()
        assert text.startswith("__Host-")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=Strict"} <= set(text.split("; "))
        assert "Domain" not in text


def test_the_cookie_of_an_oauth_sign_in_is_sent_with_the_redirect_of_the_provider() -> None:
    """Breaks with `SameSite=Strict`: the browser comes back from another site."""
    text = oauth_state_cookie("the-flow", 600).header()
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(text.split("; "))


def test_expired_session_cookies_delete_both() -> None:
    names = [cookie.name for cookie in session_cookies("a", "r", access_seconds=900)]
    assert [(cookie.name, cookie.value, cookie.max_age_seconds) for cookie in expired_session_cookies()] == [
        (name, "", 0) for name in names
    ]
