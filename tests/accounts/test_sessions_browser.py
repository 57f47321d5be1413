"""Cookie sessions: accepted from the same origin only."""

from http.cookies import SimpleCookie

import httpx
import pytest

from accounts_app import PASSWORD
from api_client import assert_problem
from cases import each
from restwell.testing import ApiClient

SAME = {"sec-fetch-site": "same-origin"}
BODY = {"email": "member@app.example", "password": PASSWORD, "cookies": True}
NAMES = ("__Host-access", "__Host-refresh")


def cookies_of(answer: httpx.Response) -> SimpleCookie:
    cookies = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    return cookies


@pytest.fixture
async def browser(client: httpx.AsyncClient) -> ApiClient:
    """A browser whose requests do not say from where they are sent."""
    signed_in = await ApiClient(client).sign_in("member@app.example", PASSWORD, cookies=True)
    signed_in.headers.clear()
    return signed_in


async def test_the_tokens_of_a_browser_session_are_in_cookies_only(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sessions", json=BODY, headers=SAME)
    assert answer.json() == {"token_type": "Cookie", "expires_in": 900}
    cookies = cookies_of(answer)
    assert tuple(cookies) == NAMES
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (
            True,
            True,
            "Strict",
            "/",
            "",
        )
    assert cookies["__Host-access"]["max-age"] == "900"


async def test_a_page_of_the_same_origin_may_read_and_write(browser: ApiClient) -> None:
    assert (await browser.send("GET", "/v1/users/me")).json()["email"] == "member@app.example"
    patch = {"content_type": "application/merge-patch+json"}
    assert (await browser.send("PATCH", "/v1/users/me", {"name": "New"}, **patch, **_as(SAME))).status_code == 200
    origin = {"origin": str(browser.client.base_url), "host": browser.client.base_url.netloc.decode()}
    assert (await browser.send("PATCH", "/v1/users/me", {"name": "Old"}, **patch, **origin)).status_code == 200


@each(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://test"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
async def test_a_page_of_another_origin_cannot_write(browser: ApiClient, headers: dict[str, str]) -> None:
    """CSRF. Fails without ``reject_cross_site``: a form on another site could sign out or sign in."""
    for method, path, body in (
        ("DELETE", "/v1/sessions", None),
        ("POST", "/v1/sessions", BODY),
        ("POST", "/v1/sessions/refresh", {}),
    ):
        answer = await browser.send(method, path, body, **_as(headers))
        assert_problem(answer, 403, "cross_site_request")
        assert "set-cookie" not in answer.headers
    assert (await browser.send("GET", "/v1/users/me")).status_code == 200


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_invalid_origin_header_is_refused(browser: ApiClient) -> None:
    """Regression: an unparsable Origin was a 500, and another scheme or a path was accepted."""
    origins = [b"http://[", b"http://[]", b"http://[::1", b"http://test:99999999", b"http://x@test", b"http://test/"]
    origins += [
        b"http://test, https://evil.example",
        b"ftp://test",
        b"//test",
        b"test",
        b"",
        b"\xe9",
        b"http://\xe2\x84\xaa",
    ]
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items()).encode()
    for method, path, body in (
        ("DELETE", "/v1/sessions", None),
        ("POST", "/v1/sessions", BODY),
        ("POST", "/v1/sessions/refresh", {}),
        ("PATCH", "/v1/users/me", {}),
        ("POST", "/v1/notes", {}),
    ):
        for origin in origins:
            headers = [(b"origin", origin), (b"cookie", cookie), (b"content-type", b"application/json")]
            answer = await browser.client.request(method, path, json=body, headers=headers)
            assert_problem(answer, 403, "cross_site_request")


async def test_an_access_token_precedes_the_cookie_and_needs_no_origin(
    browser: ApiClient, client: httpx.AsyncClient
) -> None:
    other = await ApiClient(client).sign_in("other@app.example", PASSWORD)
    token = f"Bearer {other.tokens['access_token']}"
    assert (await browser.send("GET", "/v1/users/me", authorization=token)).json()["email"] == "other@app.example"
    assert_problem(await browser.send("GET", "/v1/users/me", authorization="Bearer x"), 401, "unauthorized")
    assert (await browser.send("DELETE", "/v1/sessions/current", authorization=token)).status_code == 204


async def test_refreshing_a_browser_session_replaces_both_cookies(browser: ApiClient) -> None:
    before = dict(browser.cookies)
    answer = await browser.send("POST", "/v1/sessions/refresh", {}, **_as(SAME))
    assert answer.json() == {"token_type": "Cookie", "expires_in": 900}
    assert before["__Host-refresh"] != browser.cookies["__Host-refresh"]
    assert (await browser.send("GET", "/v1/users/me")).status_code == 200
    browser.cookies = {}
    answer = await browser.send("POST", "/v1/sessions/refresh", {}, **_as(SAME))
    assert_problem(answer, 401, "invalid_refresh_token")


@pytest.mark.parametrize("path", ["/v1/sessions/current", "/v1/sessions"])
async def test_signing_out_ends_the_browser_session_and_clears_its_cookies(browser: ApiClient, path: str) -> None:
    saved = dict(browser.cookies)
    answer = await browser.send("DELETE", path, **_as(SAME))
    assert answer.status_code == 204
    assert {name: (cookie.value, cookie["max-age"]) for name, cookie in cookies_of(answer).items()} == dict.fromkeys(
        NAMES, ("", "0")
    )
    browser.cookies = saved
    assert_problem(await browser.send("GET", "/v1/users/me"), 401, "unauthorized")


def _as(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}
