"""A request to a route: guards, parameters, handler and response, in this order; and requests without a route."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from msgspec import Struct

from api_client import assert_problem
from restwell import App, Restwell
from restwell.edge._context import Message, request_context
from restwell.errors import ErrorFormat, Forbidden, ServiceUnavailable
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Request, Stream, Version, get, post, public
from things import ID, Things
from tiny.app import app_of

seen: list[Any] = []


class Draft(Struct, frozen=True):
    name: str


class Filter(Struct, frozen=True):
    page: int = 1


async def note(request: Request) -> None:
    seen.append((request.method, request.path, dict(request.path_parameters)))


async def refuse(_: Request) -> None:
    raise Forbidden


async def note_timeout(request: Request) -> None:
    route = request_context(request.scope).route
    seen.append(route.timeout_seconds if route is not None else "no route")


async def broken() -> AsyncIterator[bytes]:
    yield b'{"a":'
    raise ServiceUnavailable


class Steps(Controller):
    path = "/steps"

    @post("/{number}", guards=[note], status_code=200)
    async def take(self, number: int, data: Draft, filters: Filter) -> dict[str, Any]:
        """Take a step."""
        seen.append("handler")
        return {"number": number, "name": data.name, "page": filters.page}

    @post("/{number}/refused", guards=[note, refuse, note])
    async def refused(self, number: int, data: Draft, filters: Filter) -> None:
        """Take a note."""
        raise NotImplementedError

    @get("/slow", timeout_seconds=2.5, guards=[note_timeout])
    async def slow(self) -> str:
        """A timeout of its own."""
        return "done"

    @get("/usual", guards=[note_timeout])
    async def usual(self) -> str:
        """The timeout of the settings."""
        return "done"

    @get("/crash")
    async def crash(self) -> str:
        """A fault in the program."""
        raise ZeroDivisionError

    @get("/broken")
    async def breaks_off(self) -> Stream[Any]:
        """A stream that stops too early."""
        return Stream(open=broken, media_type="application/json")

    @get("/without-guard")
    async def without_guard(self, request: Request) -> str:
        """Asks for a caller that no guard has authenticated."""
        return str(request.actor)

    @get("/kept/{number}", cache=public(ttl_seconds=60, tags=[]))
    async def kept(self, number: int, filters: Filter) -> dict[str, int]:
        """The same for everyone."""
        return {"number": number, "page": filters.page}


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    seen.clear()
    async with running(app_of(tiny_settings, Steps, Things)) as client:
        yield client


async def test_guards_run_before_the_handler_and_know_the_path(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/steps/7?page=3", json={"name": "a"})
    assert (answer.status_code, answer.json()) == (200, {"number": 7, "name": "a", "page": 3})
    assert seen == [("POST", "/v1/steps/7", {"number": 7}), "handler"]


async def test_a_guard_that_refuses_ends_the_request_before_its_body_is_read(client: httpx.AsyncClient) -> None:
    """Breaks when parameters are read first: anybody could make the server read bodies, and learn about them."""

    async def body() -> AsyncIterator[bytes]:
        seen.append("body")
        yield b"{"

    answer = await client.post("/v1/steps/7/refused?page=x", content=body())
    assert_problem(answer, 403, "forbidden")
    assert seen == [("POST", "/v1/steps/7/refused", {"number": 7})]


async def test_the_timeout_of_a_route_includes_its_guards(client: httpx.AsyncClient) -> None:
    """Breaks when it is set after the guards: a slow guard then has the default timeout. See edge/test_deadline.py."""
    for path in ("/v1/steps/slow", "/v1/steps/usual"):
        assert (await client.get(path)).text == "done"
    assert seen == [2.5, None]


async def test_a_cached_route_gets_its_values_from_the_normalized_query(client: httpx.AsyncClient) -> None:
    answers = [await client.get(f"/v1/steps/kept/7?{query}") for query in ("page=3&x=1", "x=2&page=3", "page=3")]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"number": 7, "page": 3})] * 3
    assert ["hit" in each.headers["cache-status"] for each in answers] == [False, True, True]
    assert_problem(await client.get("/v1/steps/kept/7?page=x"), 422, "invalid")


@pytest.mark.parametrize("path", ["crash", "without-guard"])
async def test_a_fault_of_the_program_is_an_internal_error(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/v1/steps/{path}")
    assert_problem(answer, 500, "internal_error")
    assert "ZeroDivision" not in answer.text


async def test_a_405_lists_the_methods_of_the_path_and_options_answers_them(client: httpx.AsyncClient) -> None:
    wrong = await client.request("PUT", f"/v1/things/{ID}")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    options = await client.request("OPTIONS", f"/v1/things/{ID}")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    for missing in (f"/v1/things/{ID}/", f"/v1//things/{ID}", f"/v1/things/{ID}/more", "/v2/things"):
        assert_problem(await client.get(missing), 404, "not_found")


async def test_head_is_answered_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    get_answer, head = [await client.request(method, f"/v1/things/{ID}") for method in ("GET", "HEAD")]
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get_answer.headers["content-length"] == str(len(get_answer.content))


async def test_a_response_that_breaks_off_is_followed_by_no_second_response(client: httpx.AsyncClient) -> None:
    """The client must notice that the response is incomplete. Breaks when the error is answered."""
    app = client._transport.app  # type: ignore[attr-defined]  # created by ``running``
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"app.test")]
    scope = {"type": "http", "method": "GET", "path": "/v1/steps/broken", "query_string": b"", "headers": headers}
    with pytest.raises(ServiceUnavailable):
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1].get("more_body"), "it has no end"


async def test_a_route_is_found_below_a_root_path(client: httpx.AsyncClient) -> None:
    transport = httpx.ASGITransport(client._transport.app, root_path="/v1")  # type: ignore[attr-defined]  # as above
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as below:
        assert (await below.get(f"/v1/v1/things/{ID}")).json()["id"] == ID
        assert (await below.get(f"/v1/things/{ID}")).status_code == 404


OWN = ErrorFormat(media_type="application/json", body=lambda error, request_id: {"own": error.code, "id": request_id})
SHORT = ErrorFormat(media_type="application/json", body=lambda error, _: {"short": error.code})


class Short(Controller):
    path = "/short"
    error_format = SHORT

    @get("/{number}", guards=[note])
    async def read(self, number: int, filters: Filter) -> None:
        """Read."""
        raise Forbidden(f"not {number} and {filters}")


async def test_errors_have_the_format_of_the_controller_or_else_of_the_application(tiny_settings: Settings) -> None:
    """Breaks when an error of a guard, of a parameter or of a handler has another format than the route declares."""
    app: App = Restwell(tiny_settings, name="own").app([Version("/v1", [Short, Steps])], errors=OWN)
    cases: Sequence[tuple[str, int, dict[str, str]]] = [
        ("/v1/short/1", 403, {"short": "forbidden"}),
        ("/v1/short/1?page=x", 422, {"short": "invalid"}),
        ("/v1/steps/crash", 500, {"own": "internal_error"}),
        ("/v1/nothing", 404, {"own": "not_found"}),
    ]
    async with running(app) as client:
        for path, status, body in cases:
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
            assert body.items() <= answer.json().items()
