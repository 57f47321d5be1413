"""The ASGI application: each type of scope, and what it offers to commands and workers."""

from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from restwell import App, Restwell
from restwell._host import Hosted
from restwell.cache import Cache
from restwell.database import Database, query
from restwell.edge._context import AsgiApp, Message
from restwell.jobs import JobContext, job
from restwell.settings import Settings
from restwell.testing import finish_jobs, running
from restwell.web import Feature, Version, get
from tiny.app import create_app

one = query("test.one", text("SELECT 1"), into=int)
two = query("test.two", text("SELECT 2"), into=int)


found: list[object] = []


class Service: ...


@get("/hello")
async def hello(service: Service) -> str:
    """Greet."""
    return type(service).__name__


@job()
async def find_services(context: JobContext) -> None:
    found.extend((context.get(Service), context.get(Database)))


def build(settings: Settings, **options: Any) -> App:
    queries = ModuleType("queries")
    queries.one = one  # type: ignore[attr-defined]
    feature = Feature(controllers=[hello], services=[Service], jobs=[find_services], queries=[queries, lambda: [two]])
    return Restwell(settings, name="hello").app([Version("/v1", [feature]), hello], **options)


async def test_services_of_features_are_those_of_handlers_and_of_jobs(migrated: Settings) -> None:
    app = build(migrated)
    found.clear()
    async with running(app) as client:
        assert [(await client.get(path)).text for path in ("/v1/hello", "/hello")] == ["Service"] * 2
        async with app.kit.database.transaction() as tx:
            await app.kit.jobs.enqueue(tx, find_services)
        await finish_jobs(app)
    (route,) = [each for each in app.routes if each.path == "/hello"]
    assert found == [route.parameters.services["service"], app.kit.database]


def test_an_application_knows_its_prefixes_routes_and_queries(tiny_settings: Settings) -> None:
    app = build(tiny_settings)
    assert [each.prefix for each in app.versions] == ["/v1"]
    assert [route.path for route in app.routes if route.name == "hello"] == ["/v1/hello", "/hello"]
    assert app.queries() == [one, two]
    assert app.host_reason is None


async def test_functions_are_called_once_the_kit_has_started(tiny_settings: Settings) -> None:
    app = build(tiny_settings)
    found.clear()
    app.on_startup.append(lambda: found.append(app.kit.watchdog._thread))
    async with running(app):
        assert found == [app.kit.watchdog._thread]
    assert found != [None]


async def websocket(app: AsgiApp) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/v1/notes", "headers": []}, receive, send)
    return sent


async def test_a_websocket_is_refused_without_a_host(tiny_settings: Settings) -> None:
    """Breaks when it reaches the edge, which reads HTTP: the connection would hang or crash."""
    assert await websocket(create_app(tiny_settings)) == [{"type": "websocket.close", "code": 1003}]


class WithWebSockets:
    """A host that accepts every WebSocket."""

    reason = None

    def application(self, _routes: AsgiApp, _errors: object) -> Hosted:
        return Hosted(self.app, [])

    async def app(self, scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": f"{scope['type']}.accept"})


async def test_a_websocket_reaches_the_host(tiny_settings: Settings) -> None:
    assert await websocket(build(tiny_settings, host=WithWebSockets())) == [{"type": "websocket.accept"}]


@pytest.mark.parametrize("kind", [Database, Cache])
def test_a_handler_gets_parts_of_the_kit_by_type(tiny_settings: Settings, kind: type) -> None:
    async def handler(part: Any) -> None: ...

    handler.__annotations__["part"] = kind
    handler.__annotations__["return"] = None
    app = Restwell(tiny_settings, name="parts").app([get("/x")(handler)])
    (route,) = [each for each in app.routes if each.path == "/x"]
    assert isinstance(route.parameters.services["part"], kind)


def test_servers_recognize_the_application_as_asgi_3(tiny_settings: Settings) -> None:
    """Breaks when ``__call__`` returns a coroutine without being a coroutine function: Uvicorn takes it for ASGI 2."""
    assert iscoroutinefunction(type(create_app(tiny_settings)).__call__)
