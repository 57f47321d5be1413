"""Timeouts of requests, with a default and per route, and cancellation when the client disconnects."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from api_client import ApiClient, assert_problem
from restwell import App, Restwell
from restwell.auth import Actor
from restwell.edge._context import Message, Scope
from restwell.settings import RequestSettings, Settings
from restwell.testing import running
from restwell.web import ApiRequest, Controller, Version, get, post
from servers import RESTWELL, restwell, serving
from tiny.environment import tiny_environment

USER_ID = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")


class Slow(Controller):
    path = "/slow"
    ended: list[str] = []

    @get()
    async def rest(self) -> str:
        """Take a second."""
        return await self._work("get")

    @post()
    async def work(self, request: ApiRequest) -> str:
        """Take a second after the body has been read."""
        return await self._work(f"post {len(await request.body())}")

    @get("/longer", timeout_seconds=2)
    async def longer(self) -> str:
        """Take a second, with a timeout of two."""
        return await self._work("longer")

    @get("/late", timeout_seconds=3)
    async def read_late(self, request: ApiRequest) -> str:
        """Take a second, then read the body."""
        await self._work("late")
        return (await request.body()).decode()

    @get("/hasty", timeout_seconds=0.3)
    async def hasty(self) -> str:
        """Take a second, with a shorter timeout."""
        return await self._work("hasty")

    async def _work(self, name: str) -> str:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        self.ended.append(f"{name} done")
        return name


@pytest.fixture
def app(tiny_settings: Settings) -> App:
    async def authenticate(_: str) -> Actor:
        return Actor(USER_ID, "owner", USER_ID)

    Slow.ended.clear()
    kit = Restwell(tiny_settings.model_copy(update={"request": RequestSettings(timeout_seconds=0.6)}), name="slow")
    return kit.app(
        version="1.0.0",
        description="Slow.",
        versions=[Version("/v1", [Slow])],
        provide=[],
        authenticate=authenticate,
    )


async def test_a_route_has_its_own_timeout_or_the_default(app: App) -> None:
    """Breaks when every route has the same timeout, and when a shorter timeout is checked after the longer ones
    before it.
    """
    async with running(app) as client:
        began = time.perf_counter()
        finished_at: dict[str, float] = {}

        async def ask(path: str) -> httpx.Response:
            response = await client.get(path)
            finished_at[path] = time.perf_counter() - began
            return response

        longer, rest, hasty = await asyncio.gather(*map(ask, ("/v1/slow/longer", "/v1/slow", "/v1/slow/hasty")))
        assert longer.status_code == 200
        assert_problem(rest, 503, "deadline_exceeded")
        assert_problem(hasty, 503, "deadline_exceeded")
        assert finished_at["/v1/slow/hasty"] < 0.55 < finished_at["/v1/slow"] < 0.95 < finished_at["/v1/slow/longer"]
    assert sorted(Slow.ended) == ["get cancelled", "hasty cancelled", "longer done"]


def scope_of(method: str, path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"app.test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


async def talk(app: App, method: str, path: str, *messages: tuple[float, Message]) -> list[Message]:
    """Send the messages, each after its delay in seconds. Return the messages of the response."""
    received: asyncio.Queue[Message] = asyncio.Queue()
    sent: list[Message] = []

    async def feed() -> None:
        for seconds, message in messages:
            await asyncio.sleep(seconds)
            received.put_nowait(message)

    async def send(message: Message) -> None:
        sent.append(message)

    feeding = asyncio.create_task(feed())
    await app(scope_of(method, path), received.get, send)
    feeding.cancel()
    return sent


DISCONNECT: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("method", "messages", "ended"),
    [
        ("GET", [(0, body()), (0.25, DISCONNECT)], "get cancelled"),
        ("GET", [(0.3, DISCONNECT)], "get cancelled"),
        ("POST", [(0, body(b"ab", more=True)), (0.15, body(b"c")), (0.2, DISCONNECT)], "post 3 cancelled"),
    ],
    ids=["get", "get without a body message", "post"],
)
async def test_a_request_is_cancelled_when_its_client_disconnects(
    app: App, capfd: pytest.CaptureFixture[str], method: str, messages: list[tuple[float, Message]], ended: str
) -> None:
    """Breaks when the application does not listen for a disconnect."""
    async with running(app):
        began = time.perf_counter()
        assert await talk(app, method, "/v1/slow", *messages) == []
        assert time.perf_counter() - began < 0.55, "before its timeout"
    assert Slow.ended == [ended]
    assert '"status":499' in capfd.readouterr().out


async def test_watching_for_a_disconnect_loses_no_part_of_request_or_response(app: App) -> None:
    """Breaks when the watch consumes a part of the body."""
    async with running(app):
        response = await talk(app, "GET", "/v1/slow/late", (0.2, body(b"x", more=True)), (0.2, body(b"y")))
        assert (response[0]["status"], response[1]["body"]) == (200, b"xy")
        response = await talk(app, "GET", "/v1/slow/late", (0.2, body()))
        assert (response[0]["status"], response[1]["body"]) == (200, b"")
        late = [(0.2, body(b"a" * 5, more=True)), (0.2, body(b"b" * 6))]
        assert [one["status"] for one in await talk(app, "POST", "/v1/slow", *late) if "status" in one] == [503]
    assert Slow.ended == ["late done", "late done", "post 11 cancelled"]


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@asynccontextmanager
async def locked_jobs(url: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_disconnect_cancels_the_statement_in_the_database(empty_url: str, tmp_path: Path, backend: str) -> None:
    """Over a real connection: the statement is cancelled, and the request has no effect."""
    assert backend in empty_url
    environment = tiny_environment(empty_url)
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    database = await asyncpg.connect(empty_url)
    async with (
        serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served,
        httpx.AsyncClient(base_url=served.url) as client,
    ):

        async def remind() -> httpx.Response:
            return await ApiClient(client, "owner").send("POST", "/v1/reminders", {"text": "x"}, idempotency_key="k")

        async with locked_jobs(empty_url):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.8):
                    await remind()
            async with asyncio.timeout(1.5):  # the lock timeout is two seconds
                while await database.fetchval(WAITING):
                    await asyncio.sleep(0.05)
        assert await database.fetchval("SELECT count(*) FROM jobs") == 0
        again = await remind()
        assert (again.status_code, "idempotent-replayed" in again.headers) == (202, False)
    await database.close()
