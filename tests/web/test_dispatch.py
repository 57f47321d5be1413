"""The fast path: plain handlers bypass the framework; other handlers and rejected requests do not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from litestar import Request
from litestar import Response as FrameworkResponse
from litestar.datastructures import State
from litestar.di import Provide
from litestar.dto import DTOConfig, MsgspecDTO
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.middleware import DefineMiddleware
from litestar.params import HeaderParameter
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from api_client import assert_problem
from restwell.edge._context import Message
from restwell.errors import ServiceUnavailable
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    get,
    post,
    public,
    stream_json,
)
from restwell.web._fast_path import FastPath
from tiny.app import app_of

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match")]

seen: list[str] = []
ID = "018f0000-0000-7000-8000-000000000001"


class Draft(Struct, frozen=True):
    name: str
    secret: str = ""


class Filter(Struct, frozen=True):
    page: int = 1


class Teapot(Exception): ...


class CustomRequest(ApiRequest):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        seen.append("custom request")
        super().__init__(*arguments, **options)


class CustomResponse(FrameworkResponse[Any]):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        seen.append("custom response")
        super().__init__(*arguments, **options)


def answer_teapot(_: Request[Any, Any, State], __: Exception) -> FrameworkResponse[str]:
    return FrameworkResponse("short and stout", status_code=418)


async def look(_: Request[Any, Any, State]) -> None:
    seen.append("hook")


def passing(app: ASGIApp, word: str) -> ASGIApp:
    async def through(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(word)
        await app(scope, receive, send)

    return through


async def broken() -> AsyncIterator[bytes]:
    yield b'{"a":'
    raise ServiceUnavailable


class Things(Controller):
    path = "/things"
    dependencies = {"gift": Provide(lambda: "given", sync_to_thread=False)}

    @get("/{thing_id:uuid}")
    async def read(
        self, request: ApiRequest, thing_id: FromPath[UUID], filters: Inject[Filter], if_match: IfMatch = None
    ) -> dict[str, Any]:
        """All parameters of the fast path."""
        return {"id": thing_id, "page": filters.page, "if_match": if_match, "path": request.scope["path"]}

    @get("/for-all/{thing_id:uuid}/{number:int}", cached=public(ttl_seconds=60, tags=[]))
    async def for_all(self, thing_id: FromPath[UUID], filters: Inject[Filter]) -> dict[str, Any]:
        """The same for everyone."""
        return {"id": thing_id, "page": filters.page}

    @post(status_code=201)
    async def write(self, data: JSONBody[Draft]) -> Draft:
        """A body."""
        return data

    @get("/slow", sync_to_thread=False)
    def in_turn(self) -> dict[str, int]:
        """Not asynchronous."""
        return {"n": 1}

    @get("/hooked", before_request=look)
    async def hooked(self) -> dict[str, int]:
        """A hook before."""
        return {"n": len(seen)}

    @get("/hooked-after", after_response=look)
    async def hooked_after(self) -> dict[str, int]:
        """A hook after."""
        return {"n": len(seen)}

    @get("/through", middleware=[DefineMiddleware(passing, word="middleware")])
    async def through(self) -> dict[str, int]:
        """Behind a middleware."""
        return {"n": len(seen)}

    @get("/teapot", exception_handlers={Teapot: answer_teapot})
    async def teapot(self) -> dict[str, int]:
        """A custom exception handler."""
        raise Teapot

    @get("/cached", cache=60)
    async def cached(self) -> dict[str, int]:
        """The response cache of the framework."""
        seen.append("asked")
        return {"n": len(seen)}

    @get("/custom-request", request_class=CustomRequest)
    async def own_request(self) -> dict[str, int]:
        """A custom request class."""
        return {"n": len(seen)}

    @get("/custom-response", response_class=CustomResponse)
    async def own_response(self) -> dict[str, int]:
        """A custom response class."""
        return {"n": 1}

    @post("/transferred", return_dto=MsgspecDTO[Annotated[Draft, DTOConfig(exclude={"secret"})]])
    async def transferred(self, data: JSONBody[Draft]) -> Draft:
        """Not all of its fields are sent."""
        return data

    @get("/given")
    async def given(self, gift: Inject[str]) -> dict[str, str]:
        """A custom dependency."""
        return {"gift": gift}

    @get("/forbidden")
    async def forbidden(self) -> dict[str, int]:
        """An error of the framework's."""
        raise PermissionDeniedException

    @get("/unknown-error")
    async def unknown_error(self) -> dict[str, int]:
        """An error of the framework without an AppError."""
        raise NotAuthorizedException

    @get("/crash")
    async def crash(self) -> dict[str, int]:
        """A fault in the program."""
        raise ZeroDivisionError

    @get("/broken")
    async def breaks_off(self) -> Response[Any]:
        """A stream that stops too early."""
        return stream_json(broken(), "all.json")


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    seen.clear()
    async with running(app_of(tiny_settings, Things)) as client:
        yield client


async def test_a_fast_route_reads_path_query_header_and_body(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/things/{ID}?page=3", headers={"If-Match": '"7"'})
    assert answer.json() == {"id": ID, "page": 3, "if_match": '"7"', "path": f"/v1/things/{ID}"}
    assert (await client.get(f"/v1/things/{ID}")).json()["if_match"] is None
    written = await client.post("/v1/things", json={"name": "a"})
    assert (written.status_code, written.json()) == (201, {"name": "a", "secret": ""})


def test_a_fast_route_does_not_pass_through_the_framework(tiny_settings: Settings) -> None:
    """Breaks when it does: that is slower, and no other test detects it."""
    fast_path = app_of(tiny_settings, Things)._edge.app
    assert isinstance(fast_path, FastPath)
    names = {handler.fn.__name__ for handler in fast_path._fast_routes}
    assert names & set(vars(Things)) == {
        "read",
        "write",
        "for_all",
        "forbidden",
        "unknown_error",
        "crash",
        "breaks_off",
    }


async def test_a_cached_route_is_not_looked_up_in_the_router_again(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge has already found the handler and parsed the path. Breaks when the router runs again."""
    fast_path: Any = client._transport.app._edge.app  # type: ignore[attr-defined]  # created by ``running``
    monkeypatch.setattr(fast_path, "_find", None)
    answer = await client.get(f"/v1/things/for-all/{ID}/7?page=3")
    assert (answer.status_code, answer.json()) == (200, {"id": ID, "page": 3})


@pytest.mark.parametrize(
    ("path", "noted", "number"),
    [
        ("slow", [], 1),
        ("hooked", ["hook"], 1),
        ("hooked-after", ["hook"], 0),
        ("through", ["middleware"], 1),
        ("custom-request", ["custom request"], 1),
        ("custom-response", ["custom response"], 1),
    ],
)
async def test_a_handler_gets_the_framework_features_that_it_declares(
    client: httpx.AsyncClient, path: str, noted: list[str], number: int
) -> None:
    """Breaks, one by one, when a handler with such a feature is served by the fast path."""
    answer = await client.get(f"/v1/things/{path}")
    assert (answer.status_code, answer.json(), seen) == (200, {"n": number}, noted)


async def test_a_route_keeps_the_exception_handlers_and_cache_of_the_framework(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/things/teapot")
    assert (answer.status_code, answer.text) == (418, "short and stout")
    assert [(await client.get("/v1/things/cached")).json() for _ in range(2)] == [{"n": 1}] * 2


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "transferred", {}, {"name": "a", "secret": "b"}, 201),
        ("GET", "given", {}, None, 200),
    ],
)
async def test_a_request_that_the_framework_reads_is_validated(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: object, status: int
) -> None:
    answer = await client.request(method, f"/v1/things/{path}", headers=headers, json=body)
    assert answer.status_code == status
    if path == "transferred":
        assert answer.json() == {"name": "a"}


@pytest.mark.parametrize(
    ("path", "status"), [("forbidden", 403), ("unknown-error", 500), ("crash", 500), ("not-there", 404)]
)
async def test_an_error_in_a_fast_route_is_a_problem(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(f"/v1/things/{path}")
    assert_problem(answer, status, answer.json()["code"])


async def test_a_fast_route_refuses_what_the_router_refuses(client: httpx.AsyncClient) -> None:
    wrong = await client.request("PUT", f"/v1/things/{ID}")
    assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "OPTIONS"})
    assert (await client.get(f"/v1/things/{ID}", headers={"Host": "a b"})).status_code == 400
    for same in (f"/v1/things/{ID}/", f"/v1//things/{ID}"):
        assert_problem(await client.get(same), 404, "not_found")


async def test_a_response_that_breaks_off_is_followed_by_no_second_response(client: httpx.AsyncClient) -> None:
    """The client must notice that the response is incomplete."""
    app = client._transport.app  # type: ignore[attr-defined]  # created by ``running``
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"app.test")]
    scope = {"type": "http", "method": "GET", "path": "/v1/things/broken", "query_string": b"", "headers": headers}
    with pytest.raises(ExceptionGroup):
        await app(scope, receive, send)
    assert [message["type"] for message in sent if message["type"] == "http.response.start"] == ["http.response.start"]
    assert sent[-1].get("more_body"), "it has no end"


async def test_a_route_is_found_below_a_root_path(client: httpx.AsyncClient) -> None:
    transport = httpx.ASGITransport(client._transport.app, root_path="/v1")  # type: ignore[attr-defined]  # as above
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as below:
        assert (await below.get(f"/v1/v1/things/{ID}")).json()["id"] == ID
        assert (await below.get(f"/v1/things/{ID}")).status_code == 404
