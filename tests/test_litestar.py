"""Litestar beside the routes of the kit: what it serves, and what its middleware sees of the kit's routes."""

import ast
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import litestar
import pytest
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import WebsocketListener
from litestar.params import FromPath, JSONBody
from litestar.plugins import InitPlugin
from litestar.response import File, ServerSentEvent
from pydantic import BaseModel
from sqlalchemy import text
from structlog.testing import capture_logs

from api_client import assert_problem
from restwell import App, Restwell
from restwell.database import query
from restwell.errors import AppError, ErrorFormat, NotFound, ServiceUnavailable
from restwell.litestar import LitestarHost
from restwell.settings import LogSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Request, Response, created, post
from restwell.web import get as kit_get
from websocket import websocket

select_one = query("test.hosted", text("SELECT 1"), into=int)


class GreetingController(Controller):
    path = "/greetings"

    @kit_get("/{name}")
    async def greet(self, request: Request, name: str) -> str:
        """Greet."""
        return f"{name} {request.path} {request.scope.get('user')}"

    @post()
    async def add(self, request: Request) -> Response[str]:
        """Add what the body has."""
        return created((await request.body()).decode(), "7")


class Thing(BaseModel):
    name: str
    count: int


@litestar.get("/things/{number:int}")
async def read_thing(number: FromPath[int]) -> Thing:
    return Thing(name="thing", count=number)


@litestar.post("/things")
async def add_thing(data: JSONBody[Thing]) -> Thing:
    return data


@litestar.get("/conflict")
async def conflict() -> None:
    raise HTTPException(status_code=409, detail="Somebody was faster.", headers={"retry-after": "3"})


@litestar.get("/broken")
async def broken() -> None:
    raise ValueError("hunter2")


@litestar.get("/status/{status:int}")
async def fail(status: FromPath[int]) -> None:
    raise HTTPException(status_code=status, detail="hunter2")


@litestar.get("/missing/{is_down:int}")
async def missing(is_down: FromPath[int]) -> None:
    raise ServiceUnavailable if is_down else NotFound("No such thing.")


@litestar.get("/events")
async def events() -> ServerSentEvent:
    async def ticks() -> AsyncIterator[str]:
        for number in range(3):
            yield f"tick {number}"

    return ServerSentEvent(ticks())


@litestar.get("/file")
async def file() -> File:
    return File(path=Path(__file__), filename="tests.py")


class Echo(WebsocketListener):
    path = "/echo"

    async def on_receive(self, data: str) -> str:
        return f"echo {data}"


HANDLERS = (read_thing, add_thing, conflict, broken, fail, missing, events, file, Echo)


def build(settings: Settings, host: LitestarHost, **options: Any) -> App:
    return Restwell(settings, name="greetings").app([GreetingController], host=host, **options)


@pytest.fixture
def app(tiny_settings: Settings) -> App:
    return build(tiny_settings, LitestarHost(HANDLERS))


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


async def test_a_websocket_of_litestar_is_served(app: App) -> None:
    """Breaks when ``App`` refuses each WebSocket, as without a host."""
    async with running(app), websocket(app, "/echo") as client:
        assert (await client.receive())["type"] == "websocket.accept"
        await client.send("hello")
        assert (await client.receive())["text"] == "echo hello"


@pytest.mark.parametrize("path", ["/greetings/anna", "/nothing", "/.restwell"])
async def test_a_websocket_to_another_path_is_refused(app: App, path: str) -> None:
    """Breaks when the route of the kit inside Litestar is called for a WebSocket: it has no request context."""
    async with running(app), websocket(app, path) as client:
        assert (await client.receive())["type"] == "websocket.close"


async def test_server_sent_events_and_files_are_streamed(client: httpx.AsyncClient) -> None:
    sent = await client.get("/events")
    assert sent.headers["content-type"].startswith("text/event-stream")
    assert [line for line in sent.text.splitlines() if line.startswith("data")] == [f"data: tick {n}" for n in range(3)]
    downloaded = await client.get("/file")
    assert downloaded.content == Path(__file__).read_bytes()
    assert 'filename="tests.py"' in downloaded.headers["content-disposition"]


async def test_a_handler_of_litestar_has_the_edge_and_models_of_pydantic(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/3", headers={"x-request-id": "a-request-id"})
    assert answer.json() == {"name": "thing", "count": 3}
    assert answer.headers["x-request-id"] == "a-request-id"
    assert {"ratelimit", "x-content-type-options"} <= answer.headers.keys()
    assert (await client.post("/things", json={"name": "a", "count": 1})).status_code == 201
    assert (await client.head("/things/3")).status_code == 200


async def test_the_access_log_has_the_path_and_the_route_of_a_handler_of_litestar(tiny_settings: Settings) -> None:
    """Breaks when Litestar gets the scope itself: a mounted application changes its path."""

    @litestar.asgi("/mounted", is_mount=True, copy_scope=False)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await litestar.response.base.ASGIResponse(body=b"mounted")(scope, receive, send)

    settings = tiny_settings.model_copy(update={"log": LogSettings(format="pretty")})
    app = build(settings, LitestarHost([*HANDLERS, mounted]))
    async with running(app) as client:
        with capture_logs() as lines:
            assert (await client.get("/mounted/a")).text == "mounted"
            await client.get("/things/3")
    logged = [(line["path"], line["route"]) for line in lines if line["event"] == "request"]
    assert logged == [("/mounted/a", logged[0][1]), ("/things/3", "/things/{number}")]


async def test_errors_of_litestar_have_the_format_of_the_application(client: httpx.AsyncClient) -> None:
    """Breaks without the exception handler of the host: the body is that of Litestar."""
    assert_problem(await client.get("/nothing"), 404, "not_found")
    wrong_method = await client.delete("/things/3")
    assert_problem(wrong_method, 405, "method_not_allowed")
    assert "GET" in wrong_method.headers["allow"]
    assert_problem(await client.get("/things/three"), 404, "not_found")
    problem = assert_problem(await client.post("/things", json={"name": "a", "count": "many"}), 422, "invalid")
    assert "count" in str(problem["errors"])
    assert_problem(await client.post("/things", content=b"{"), 400, "malformed_request")
    answer = await client.get("/conflict")
    assert assert_problem(answer, 409, "conflict")["detail"] == "Somebody was faster."
    assert answer.headers["retry-after"] == "3"
    assert assert_problem(await client.get("/missing/0"), 404, "not_found")["detail"] == "No such thing."
    assert_problem(await client.get("/missing/1"), 503, "service_unavailable")
    for path in ("/broken", "/status/500", "/status/799", "/status/204"):
        answer = await client.get(path)
        assert_problem(answer, 500, "internal_error")
        assert "hunter2" not in answer.text


async def test_a_path_of_the_kit_has_only_the_methods_of_the_kit(client: httpx.AsyncClient) -> None:
    """Breaks when a request without a route always goes to Litestar: it would respond with 404."""
    answer = await client.delete("/greetings/anna")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_litestar_uses_the_error_format_of_the_application(tiny_settings: Settings) -> None:
    def body(error: AppError, request_id: str) -> dict[str, str]:
        return {"error": error.code, "id": request_id}

    errors = ErrorFormat("application/json", body, dict[str, str])
    async with running(build(tiny_settings, LitestarHost(HANDLERS), errors=errors)) as client:
        answer = await client.get("/conflict")
    assert answer.json() == {"error": "conflict", "id": answer.headers["x-request-id"]}


class Recorder:
    """Middleware that records what it sees, and adds a user and a header."""

    seen: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((scope["path"], scope["path_template"], dict(scope["path_params"])))
        scope["user"] = "anna"

        async def send_with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-recorder", b"yes")]
            await send(message)

        await self.app(scope, receive, send_with_header)


async def test_middleware_of_litestar_sees_the_routes_of_the_kit_as_its_own(tiny_settings: Settings) -> None:
    """Breaks without ``_restore_path``: each path is that of the one handler."""
    Recorder.seen.clear()
    app = build(tiny_settings, LitestarHost(HANDLERS, middleware=[Recorder]))
    assert app.host_reason == "Litestar's middleware"
    async with running(app) as client:
        greeted = await client.get("/greetings/bert")
        assert greeted.text == "bert /greetings/bert anna"
        assert greeted.headers["x-recorder"] == "yes"
        assert (await client.post("/greetings", content=b"x")).headers["location"] == "/greetings/7"
        await client.get("/things/3")
    assert Recorder.seen == [
        ("/greetings/bert", "/greetings/{name}", {"name": "bert"}),
        ("/greetings", "/greetings", {}),
        ("/things/3", "/things/{number}", {"number": 3}),
    ]


async def test_a_route_gets_the_body_that_middleware_has_read(tiny_settings: Settings) -> None:
    """Breaks without ``_Body``: the route waits for a body that has arrived."""

    def read_body(app: Any) -> Any:
        async def call(scope: Any, receive: Any, send: Any) -> None:
            assert await litestar.Request(scope, receive).body() == b"hello"
            await app(scope, receive, send)

        return call

    async with running(build(tiny_settings, LitestarHost(middleware=[read_body]))) as client:
        assert (await client.post("/greetings", content=b"hello")).text == "hello"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(NotAuthorizedException(), 401, "unauthorized"), (ValueError("hunter2"), 500, "internal_error")],
)
async def test_an_exception_of_middleware_is_an_error_response(
    tiny_settings: Settings, error: Exception, status: int, code: str
) -> None:
    def reject(app: Any) -> Any:  # noqa: ARG001  # the signature of middleware
        async def call(*_: Any) -> None:
            raise error

        return call

    async with running(build(tiny_settings, LitestarHost(middleware=[reject]))) as client:
        answer = await client.get("/greetings/anna")
    assert_problem(answer, status, code)
    assert "hunter2" not in answer.text


class Plugin(InitPlugin):
    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.route_handlers.append(plugin_handler)
        app_config.middleware.append(Recorder)
        return app_config


@litestar.get("/plugin")
async def plugin_handler() -> str:
    return "of the plugin"


async def test_a_plugin_of_litestar_adds_handlers_and_middleware(tiny_settings: Settings) -> None:
    app = build(tiny_settings, LitestarHost(plugins=[Plugin()]))
    assert app.host_reason == "Litestar's plugins"
    async with running(app) as client:
        assert (await client.get("/plugin")).text == "of the plugin"
        assert (await client.get("/greetings/anna")).headers["x-recorder"] == "yes"


async def test_guards_of_litestar_protect_the_routes_of_the_kit(tiny_settings: Settings) -> None:
    """Breaks when ``guards`` is among the options that the routes of the kit do not need."""

    async def reject(*_: object) -> None:
        raise NotAuthorizedException

    async with running(build(tiny_settings, LitestarHost(guards=[reject]))) as client:
        assert_problem(await client.get("/greetings/anna"), 401, "unauthorized")


async def test_the_kit_starts_before_litestar_and_closes_after_it(tiny_settings: Settings) -> None:
    """Breaks when the lifespan of Litestar is outside that of the kit: the database is closed at its shutdown."""
    read: list[int] = []

    async def use_database() -> None:
        read.append(await kit.database.one(select_one))

    kit = Restwell(tiny_settings, name="greetings")
    host = LitestarHost(on_startup=[use_database], on_shutdown=[use_database])
    async with running(kit.app([GreetingController], host=host)):
        assert read == [1]
    assert read == [1, 1]


async def test_the_kit_is_closed_when_litestar_fails_to_start(tiny_settings: Settings) -> None:
    """Breaks when ``_run_inside`` passes the failure on without closing."""

    async def fail() -> None:
        raise RuntimeError("lost")

    closed: list[bool] = []

    class Resource:
        async def close(self) -> None:
            closed.append(True)

    kit = Restwell(tiny_settings, name="greetings")
    kit.close_on_shutdown(Resource())
    with pytest.raises(RuntimeError, match="startup failed"):
        async with running(kit.app([GreetingController], host=LitestarHost(on_startup=[fail]))):
            pass
    assert closed == [True]


def test_a_handler_that_no_request_could_reach_is_refused(tiny_settings: Settings) -> None:
    """Breaks without the check of the dispatcher: the kit responds with 405 to each request for the handler."""

    @litestar.put("/greetings/{who:str}")
    async def shadowed(who: FromPath[str]) -> None: ...

    with pytest.raises(
        TypeError, match=r"a route of the kit has the path of the host's handler /greetings/\{who:str\}"
    ):
        build(tiny_settings, LitestarHost([shadowed]))


def test_an_option_that_the_routes_of_the_kit_would_ignore_is_refused() -> None:
    with pytest.raises(TypeError, match=r"LitestarHost\(after_request=...\) would not apply to the routes of the kit"):
        LitestarHost(after_request=print)


@pytest.mark.parametrize("options", [{}, {"on_startup": [], "state": None, "debug": True}])
def test_without_an_option_that_applies_to_every_route_the_kit_calls_its_own(options: dict[str, Any]) -> None:
    assert LitestarHost(HANDLERS, **options).reason is None


def test_litestar_does_not_configure_the_logging_of_the_process(tiny_settings: Settings) -> None:
    """Breaks without ``logging_config = None``: Litestar 2 configures a queue handler with a thread."""
    import logging  # noqa: PLC0415  # only here

    before = list(logging.getLogger().handlers), list(logging.getLogger("litestar").handlers)
    build(tiny_settings, LitestarHost(HANDLERS))
    assert (list(logging.getLogger().handlers), list(logging.getLogger("litestar").handlers)) == before


def test_the_host_uses_names_that_both_versions_of_litestar_have() -> None:
    """Fails with the version of Litestar in which a name is private, or is missing."""
    source = Path(importlib.import_module("restwell.litestar").__file__ or "").read_text()
    imported = [
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("litestar")
        for alias in node.names
    ]
    assert imported == [
        ("litestar", "Litestar"),
        ("litestar", "Request"),
        ("litestar", "Response"),
        ("litestar", "route"),
        ("litestar.config.app", "AppConfig"),
        ("litestar.exceptions", "HTTPException"),
        ("litestar.exceptions", "ValidationException"),
        ("litestar.routes", "HTTPRoute"),
    ]
    for module, name in imported:
        assert name in importlib.import_module(module).__all__
