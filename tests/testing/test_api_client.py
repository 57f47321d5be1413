"""A client for one caller: its tokens, its cookies, and the requests that it sends."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec import UNSET, Struct, UnsetType

from restwell import Restwell
from restwell.errors import Unauthorized
from restwell.settings import Settings
from restwell.testing import ApiClient, running
from restwell.web import (
    Controller,
    Request,
    Response,
    TokenScheme,
    Version,
    delete,
    expired_session_cookies,
    get,
    post,
    reject_cross_site,
    session_cookies,
    signed_in,
)
from tiny.app import authenticate


class Login(Struct, forbid_unknown_fields=True):
    email: str
    password: str
    cookies: bool = False
    code: str = ""


class Refresh(Struct, forbid_unknown_fields=True):
    refresh_token: str | UnsetType = UNSET


class Sessions(Controller):
    path = "/sign-ins"

    @post(status_code=201, raises=[Unauthorized])
    async def sign_in(self, data: Login, request: Request) -> Response[dict[str, str]]:
        """Sign in."""
        if data.password != "right":
            raise Unauthorized
        if not data.cookies:
            return Response(content={"access_token": "guest", "refresh_token": "one"}, status_code=201)
        reject_cross_site(request)
        cookies = session_cookies("guest", "one", access_seconds=60)
        return Response(content={"token_type": "Cookie"}, status_code=201, cookies=cookies)

    @post("/refresh", status_code=200)
    async def refresh(self, data: Refresh) -> Response[dict[str, str]]:
        """Refresh."""
        if isinstance(data.refresh_token, str):
            return Response(content={"access_token": "owner", "refresh_token": f"{data.refresh_token}+"})
        return Response(content={}, cookies=session_cookies("owner", "two", access_seconds=60))

    @delete(guards=[signed_in])
    async def sign_out(self) -> Response[None]:
        """Sign out."""
        return Response(content=None, status_code=204, cookies=expired_session_cookies())

    @get("/role", guards=[signed_in])
    async def role(self, request: Request) -> list[str]:
        """Read the role."""
        return [request.actor.role]


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    scheme = TokenScheme(authenticate, session_cookies=True)
    app = Restwell(tiny_settings, name="sessions").app([Version("/v1", [Sessions])], authenticate=scheme)
    async with running(app) as connected:
        yield connected


@pytest.fixture
def caller(client: httpx.AsyncClient) -> ApiClient:
    return ApiClient(client, sessions_path="/v1/sign-ins")


async def role(caller: ApiClient) -> Any:
    return (await caller.get("/v1/sign-ins/role")).json()[0]


async def test_a_session_has_its_tokens_until_they_are_refreshed(caller: ApiClient) -> None:
    await caller.sign_in("ada@example.com", "right", code="123456")
    assert (await role(caller), caller.cookies) == ("guest", {})
    await caller.refresh()
    assert (await role(caller), caller.tokens["refresh_token"]) == ("owner", "one+")


async def test_a_session_in_cookies_is_of_one_caller_until_it_signs_out(
    caller: ApiClient, client: httpx.AsyncClient
) -> None:
    """Breaks if an expired cookie is sent."""
    await caller.sign_in("ada@example.com", "right", cookies=True)
    assert (await role(caller), caller.tokens) == ("guest", {})
    await caller.refresh()
    assert await role(caller) == "owner"
    assert (await ApiClient(client).get("/v1/sign-ins/role")).status_code == 401
    assert (await caller.delete("/v1/sign-ins")).status_code == 204
    assert caller.cookies == {}


async def test_a_rejected_sign_in_fails_with_the_response(caller: ApiClient) -> None:
    with pytest.raises(AssertionError, match=r"POST http://app\.test/v1/sign-ins: 401 .*unauthorized"):
        await caller.sign_in("ada@example.com", "wrong")


def recording(*answers: httpx.Response) -> tuple[httpx.AsyncClient, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answers[len(requests) - 1] if answers else httpx.Response(200, json={})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://app.test"), requests


async def test_each_method_sends_json_with_the_token_and_own_headers() -> None:
    client, requests = recording()
    caller = ApiClient(client, "key")
    caller.headers["x-tenant"] = "a"
    for answer in (
        caller.get("/a", if_none_match="*"),
        caller.post("/a", {"b": 1}),
        caller.put("/a", []),
        caller.patch("/a", {}),
        caller.delete("/a", authorization="Basic x"),
        caller.post("/a", "raw", content_type="application/x"),
    ):
        assert (await answer).status_code == 200
    sent = [(one.method, one.content, one.headers.get("content-type")) for one in requests]
    assert sent == [
        ("GET", b"", None),
        ("POST", b'{"b":1}', "application/json"),
        ("PUT", b"[]", "application/json"),
        ("PATCH", b"{}", "application/merge-patch+json"),
        ("DELETE", b"", None),
        ("POST", b'"raw"', "application/x"),
    ]
    assert requests[0].headers["if-none-match"] == "*"
    assert [one.headers["authorization"] for one in requests[3:5]] == ["Bearer key", "Basic x"]
    assert {one.headers["x-tenant"] for one in requests} == {"a"}


async def test_a_machine_client_requests_a_token_with_its_scopes() -> None:
    client, requests = recording(httpx.Response(200, json={"access_token": "t"}), httpx.Response(401, text="wrong"))
    caller = await ApiClient(client).use_client_credentials("id", "secret", "a:read", "b:read")
    assert caller.tokens == {"access_token": "t"}
    assert requests[0].url.path == "/v1/oauth/token"
    expected = b"grant_type=client_credentials&client_id=id&client_secret=secret&scope=a%3Aread+b%3Aread"
    assert requests[0].content == expected
    with pytest.raises(AssertionError, match="401 wrong"):
        await caller.use_client_credentials("id", "secret", path="/token")


async def test_a_sign_in_that_does_not_redirect_fails_with_the_response() -> None:
    client, _ = recording(httpx.Response(404, text="no such provider"))
    with pytest.raises(AssertionError, match="/sign-in does not redirect: 404 no such provider"):
        await ApiClient(client).authorize("/sign-in")


async def test_a_response_of_a_proxy_that_is_no_problem_ends_the_sign_in() -> None:
    client, _ = recording(httpx.Response(503, json={}))
    with pytest.raises(AssertionError, match="503"):
        await ApiClient(client).sign_in("ada@example.com", "right")


async def test_an_overloaded_server_is_asked_again() -> None:
    busy = httpx.Response(503, json={"code": "overloaded"})
    client, requests = recording(busy, httpx.Response(201, json={"access_token": "t"}))
    assert (await ApiClient(client).sign_in("ada@example.com", "right")).tokens == {"access_token": "t"}
    assert len(requests) == 2


async def test_callers_of_one_client_share_no_cookies() -> None:
    """Breaks if the cookie jar of httpx is not emptied."""
    client, requests = recording(httpx.Response(200, headers={"set-cookie": "theme=dark"}), *[httpx.Response(200)] * 2)
    for caller in (first := ApiClient(client), ApiClient(client), first):
        await caller.get("/")
    assert [one.headers.get("cookie") for one in requests] == [None, None, "theme=dark"]
