"""``kit.wrap``: what the edge does for an existing application, and what it leaves alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from starlette.middleware.base import BaseHTTPMiddleware
from structlog.testing import capture_logs

from api_client import assert_problem
from both_ways import Sent, send
from restwell import App, Restwell
from restwell.asgi import Route, error_response
from restwell.database import query
from restwell.errors import NotFound
from restwell.rate_limits import Rate
from restwell.settings import RateLimitSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Feature, get, public
from websocket import websocket

select_one = query("test.wrapped", text("SELECT 1"), into=int)
FEW = Rate("few", 2, seconds=60)
calls: list[str] = []


def existing() -> FastAPI:  # noqa: C901  # eight small handlers
    api = FastAPI()

    @api.get("/echo/{name}")
    @api.get("/items/")
    async def echo(request: Request, name: str = "") -> dict[str, Any]:
        calls.append(str(request.url))
        return {"name": name, "query": request.url.query, "headers": sorted(request.headers)}

    @api.put("/echo/{name}")
    @api.post("/echo/{name}")
    async def change(request: Request, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "body": (await request.body()).decode(),
            "address": str(request.url_for("change", name=1)),
        }

    @api.head("/only-head")
    async def only_head(response: Response) -> None:
        response.headers["x-method"] = "head"

    @api.get("/private")
    async def private(response: Response) -> str:
        calls.append("private")
        response.headers["cache-control"] = "private"
        return "mine"

    @api.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @api.get("/broken")
    async def broken() -> None:
        raise ValueError("hunter2")

    @api.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d" % number

        return StreamingResponse(chunks())

    @api.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_text(f"echo {await connection.receive_text()}")

    return api


def wrapped(settings: Settings, *routes: Route, api: Any = None, **options: Any) -> App:
    calls.clear()
    return Restwell(settings, name="existing").wrap(api or existing(), routes, **options)


class PassOn(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Any:
        return await call_next(request)


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(wrapped(tiny_settings)) as client:
        yield client


async def test_the_application_keeps_its_paths_and_its_errors(client: httpx.AsyncClient) -> None:
    """Breaks when the edge has CanonicalPath: a path with a slash at its end is a 404."""
    assert (await client.get("/items/")).json()["name"] == ""
    assert (await client.get("/items")).status_code == 307
    assert (await client.get("/nothing")).json() == {"detail": "Not Found"}
    assert (await client.patch("/echo/a")).json() == {"detail": "Method Not Allowed"}
    assert (await client.put("/echo/a", headers={"if-none-match": "*"})).status_code == 200
    assert (await client.get("/stream")).text == "012"


async def test_the_application_keeps_its_headers(client: httpx.AsyncClient) -> None:
    """Breaks when the edge has SecurityHeaders: the scripts of the page of the documentation do not run."""
    page = await client.get("/docs")
    assert "<script" in page.text
    assert not {"content-security-policy", "cache-control", "x-frame-options"} & page.headers.keys()
    assert {"x-request-id", "ratelimit"} <= page.headers.keys()


async def test_the_application_answers_options_and_head_itself(tiny_settings: Settings) -> None:
    """Breaks when the edge answers OPTIONS for its routes, or sends GET to the application for HEAD."""
    api = existing()
    api.add_middleware(CORSMiddleware, allow_origins=["https://shop.test"])
    async with running(wrapped(tiny_settings, Route("GET", "/echo/{name}"), api=api)) as client:
        headers = {"origin": "https://shop.test", "access-control-request-method": "GET"}
        preflight = await client.options("/echo/a", headers=headers)
        assert preflight.headers["access-control-allow-origin"] == "https://shop.test"
        assert (await client.head("/only-head")).headers["x-method"] == "head"
        answer = await client.head("/echo/a")
        assert (answer.status_code, answer.content) == (405, b"")


async def test_an_unexpected_error_is_that_of_the_application(tiny_settings: Settings) -> None:
    """Breaks when the edge responds a second time."""
    app = wrapped(tiny_settings)
    async with running(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
            answer = await client.get("/broken")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


async def test_websockets_pass_through(tiny_settings: Settings) -> None:
    app = wrapped(tiny_settings)
    async with running(app), websocket(app, "/socket") as client:
        assert (await client.receive())["type"] == "websocket.accept"
        await client.send("hello")
        assert (await client.receive())["text"] == "echo hello"


@pytest.mark.slow
@pytest.mark.parametrize("has_middleware", [False, True])
async def test_a_slow_handler_is_cancelled_also_below_middleware(
    tiny_settings: Settings, *, has_middleware: bool
) -> None:
    """Breaks when the edge does not undo its cancellation: the request ends without a response."""
    api = existing()
    if has_middleware:
        api.add_middleware(PassOn)
    async with running(wrapped(tiny_settings, Route("GET", "/slow", timeout_seconds=0.3), api=api)) as client:
        assert_problem(await client.get("/slow"), 503, "deadline_exceeded")
        assert (await client.get("/echo/a")).status_code == 200


async def test_a_cached_response_depends_on_the_whole_query(tiny_settings: Settings) -> None:
    """Breaks when the policy normalizes the query to nothing: all pages are the first."""
    app = wrapped(tiny_settings, Route("GET", "/echo/{name}", cache=public(ttl_seconds=60, tags=["echo:{name}"])))
    async with running(app) as client:
        for target in ("/echo/a?page=1", "/echo/a?page=2", "/echo/b?page=1&x=%20+", "/echo/b?%zz"):
            first, second = await client.get(target), await client.get(target)
            assert first.json() == second.json()
            assert first.json()["query"] == target.partition("?")[2]
            assert "hit" in second.headers["cache-status"]
            assert first.json()["headers"] == []
        async with app.kit.database.transaction() as tx:
            app.kit.cache.invalidate(tx, "echo:a")
        assert "fwd=miss" in (await client.get("/echo/a?page=1")).headers["cache-status"]
        assert "hit" in (await client.get("/echo/b?%zz")).headers["cache-status"]


async def test_a_cached_response_depends_on_the_named_parameters_alone(tiny_settings: Settings) -> None:
    """Breaks when the application sees the parameters that are not in the key."""
    policy = public(ttl_seconds=60, tags=lambda values: [f"echo:{values['page']}"], vary=["Accept-Language"])
    app = wrapped(tiny_settings, Route("GET", "/echo/{name}", cache=policy, query=("page", "size")))
    async with running(app) as client:
        assert (await client.get("/echo/a?size=2&other=1&page=1&size=3")).json()["query"] == "page=1&size=2&size=3"
        assert "hit" in (await client.get("/echo/a?page=1&size=2&size=3&more")).headers["cache-status"]
        assert (await client.get("/echo/a", headers={"accept-language": "de"})).json()["headers"] == ["accept-language"]
        assert "fwd=miss" in (await client.get("/echo/a?page=2")).headers["cache-status"]
        answer = await client.get("/echo/a?page=%ff")
        assert (answer.json()["query"], "cache-status" in answer.headers) == ("page=%ff", False)


@pytest.mark.parametrize("has_middleware", [False, True])
async def test_a_streamed_response_is_cached_and_an_error_is_not(
    tiny_settings: Settings, *, has_middleware: bool
) -> None:
    """Breaks when ``receive`` of a load always has a message: frameworks wait for a disconnect while they stream.

    The error: breaks when the edge responds to the exception after the application has.
    """
    api = existing()
    if has_middleware:
        api.add_middleware(PassOn)
    routes = [Route("GET", path, cache=public(ttl_seconds=60, tags=[])) for path in ("/stream", "/broken")]
    async with running(wrapped(tiny_settings, *routes, api=api)) as client:
        assert [(await client.get("/stream")).text for _ in range(2)] == ["012", "012"]
        assert "hit" in (await client.get("/stream")).headers["cache-status"]
        answers = [await client.get("/broken") for _ in range(2)]
        assert [answer.text for answer in answers] == ["Internal Server Error"] * 2
        assert not any("hit" in answer.headers["cache-status"] for answer in answers)


async def test_a_response_of_another_version_or_a_private_one_is_not_used(tiny_settings: Settings) -> None:
    """Breaks when the key has no version."""
    cache = public(ttl_seconds=60, tags=[])
    routes = [Route("GET", "/echo/{name}", cache=cache), Route("GET", "/private", cache=cache)]
    first, second = wrapped(tiny_settings, *routes, version="1"), wrapped(tiny_settings, *routes, version="2")
    async with running(first) as old, running(second) as new:
        assert "fwd=miss" in (await old.get("/echo/a")).headers["cache-status"]
        assert "fwd=miss" in (await new.get("/echo/a")).headers["cache-status"]
        calls.clear()
        for _ in range(2):
            assert (await new.get("/private")).headers["cache-control"] == "private"
    assert calls == ["private", "private"]


async def test_a_limit_is_that_of_the_route_and_rejections_have_the_format_of_the_edge(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    own = {"rate_limit": RateLimitSettings(), "runtime_dir": tmp_path}  # other tests count in the common one
    settings = tiny_settings.model_copy(update=own)
    app = wrapped(
        settings, Route("POST", "/echo/{name:str}", rate_limit=FEW), Route("PUT", "/echo/{name}", rate_limit=None)
    )
    async with running(app) as client:
        assert [(await client.post(f"/echo/{name}")).status_code for name in "ab"] == [200, 200]
        assert_problem(await client.post("/echo/c"), 429, "rate_limited")
        assert "ratelimit" not in (await client.put("/echo/c")).headers
        assert '"reads"' in (await client.get("/echo/c")).headers["ratelimit"]


async def test_without_rate_limits_a_request_is_counted_for_no_user(tiny_settings: Settings) -> None:
    api = FastAPI()

    @api.get("/me")
    async def me(request: Request) -> str:
        await kit.count_request(request.scope, 7)
        return "me"

    settings = tiny_settings.model_copy(update={"rate_limit": RateLimitSettings(scale=0)})
    kit = Restwell(settings, name="existing")
    async with running(kit.wrap(api, [Route("GET", "/me", per_user=True)])) as client:
        assert "ratelimit" not in (await client.get("/me")).headers


async def test_a_route_is_found_below_the_prefix_of_a_proxy(tiny_settings: Settings) -> None:
    """Breaks when Routing compares the whole path: the limits of the routes do not apply behind the proxy."""
    app = wrapped(tiny_settings, Route("POST", "/echo/{name}", rate_limit=FEW))
    scope: dict[str, Any] = {}

    async def below_prefix(sent: Any, receive: Any, respond: Any) -> None:
        sent |= {"path": f"/api{sent['path']}", "root_path": "/api"}
        scope.update(sent)
        await app(sent, receive, respond)

    async with running(app):
        answer = await send(below_prefix, Sent("POST", b"/echo/a", chunks=(b"x",)))
    assert answer.route == "/echo/{name}"
    assert b"/api/echo/1" in answer.chunks[0]


async def test_a_request_that_the_application_does_not_count_is_reported_once(tiny_settings: Settings) -> None:
    """Breaks when the hook is silent: a forgotten ``count_request`` is a route without a limit."""
    app = wrapped(tiny_settings, Route("POST", "/echo/{name}", per_user=True))
    async with running(app) as client:
        with capture_logs() as lines:
            for _ in range(2):
                assert "ratelimit" not in (await client.post("/echo/a")).headers
    assert [line["route"] for line in lines if line["event"] == "rate_limit_not_counted"] == ["/echo/{name}"]


async def test_a_request_past_the_edge_cannot_be_counted(tiny_settings: Settings) -> None:
    kit = Restwell(tiny_settings, name="existing")
    with pytest.raises(RuntimeError, match=r"serve the application that kit.wrap returns"):
        await kit.count_request({"type": "http"}, None)
    status, headers, body = error_response({"type": "http"}, NotFound())
    assert (status, headers["content-length"]) == (404, str(len(body)))


async def test_the_application_starts_after_the_kit_and_closes_before_it(tiny_settings: Settings) -> None:
    """Breaks when the lifespan of the application is not called, or is called around that of the kit."""
    read: list[int] = []
    kit = Restwell(tiny_settings, name="existing")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        read.append(await kit.database.one(select_one))
        yield
        read.append(await kit.database.one(select_one))

    async with running(kit.wrap(FastAPI(lifespan=lifespan))):
        assert read == [1]
    assert read == [1, 1]


@pytest.mark.parametrize("raises", [True, False])
async def test_an_application_without_a_lifespan_is_served(tiny_settings: Settings, *, raises: bool) -> None:
    """Breaks when the exception, which ASGI prescribes for this case, ends the server."""

    async def bare(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] != "http":
            if raises:
                raise NotImplementedError
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"bare"})

    async with running(wrapped(tiny_settings, api=bare)) as client:
        assert (await client.get("/")).text == "bare"


async def test_the_kit_is_closed_when_the_application_fails_to_start_or_to_close(tiny_settings: Settings) -> None:
    """Breaks when the exception passes on before the kit is closed."""
    closed: list[bool] = []

    class Resource:
        async def close(self) -> None:
            closed.append(True)

    for fails_at_start in (True, False):

        @asynccontextmanager
        async def lifespan(_: FastAPI, *, fails_at_start: bool = fails_at_start) -> AsyncIterator[None]:
            if fails_at_start:
                raise RuntimeError("lost")
            yield
            raise RuntimeError("lost")

        kit = Restwell(tiny_settings, name="existing")
        kit.close_on_shutdown(Resource())
        with pytest.raises(RuntimeError, match="lost"):
            async with running(kit.wrap(FastAPI(lifespan=lifespan))):
                pass
    assert closed == [True, True]


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (Route("get", "/items"), "get /items: write the method in capitals"),
        (Route("GET", "items"), "GET items is not a path"),
        (Route("GET", "/files/{name:path}"), "GET /files/{name:path} is not a path"),
        (Route("POST", "/items", cache=public(ttl_seconds=1, tags=[])), "POST /items cannot be cached"),
        (Route("GET", "/me", per_user=True, cache=public(ttl_seconds=1, tags=[])), "GET /me cannot be cached"),
        (Route("GET", "/items/{id}", cache=public(ttl_seconds=1, tags=["item:{item}"])), "has a tag with {item}"),
    ],
)
def test_a_wrong_declaration_is_refused(tiny_settings: Settings, route: Route, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        wrapped(tiny_settings, route)
    assert message in str(raised.value)


def test_two_declarations_of_one_route_and_controllers_are_refused(tiny_settings: Settings) -> None:
    with pytest.raises(TypeError, match="two routes have the method and path GET /a"):
        wrapped(tiny_settings, Route("GET", "/a"), Route("GET", "/a"))

    class Things(Controller):
        @get("/things")
        async def list(self) -> str:
            """List things."""
            return ""

    with pytest.raises(TypeError, match=r"kit.wrap serves no controllers"):
        wrapped(tiny_settings, features=[Feature(controllers=[Things])])
