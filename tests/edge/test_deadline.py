"""Timeouts of requests, with a default and per route, and cancellation when the client disconnects."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from api_client import assert_problem
from edge_client import HOOKS, request, scope_of, send_request
from restwell.edge._access_log import AccessLog
from restwell.edge._context import Hook, Message, Receive, RequestContext, Scope, Send
from restwell.edge._deadline import Deadlines
from restwell.edge._pipeline import Edge
from restwell.edge._request_id import RequestId
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.edge._routing import Routing
from restwell.observability._trace import Trace, new_ids
from restwell.testing import ApiClient
from servers import RESTWELL, restwell, serving
from tiny.environment import tiny_environment

ROUTES = [
    Route(method="GET", path="/slow"),
    Route(method="POST", path="/slow"),
    Route(method="GET", path="/slow/longer", timeout_seconds=2),
    Route(method="GET", path="/slow/late", timeout_seconds=3),
    Route(method="GET", path="/slow/hasty", timeout_seconds=0.3),
]


class Slow:
    """Takes a second: after it has read the body of a POST, and before it reads that of ``/slow/late``."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        hooks = [AccessLog(), RequestId(), Routing(Router(ROUTES)), Deadlines(0.6)]
        self.edge = Edge(self, hooks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition("/")[2]
        content = b""
        if scope["method"] == "POST":
            content = await read_body(receive)
            name = f"post {len(content)}"
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        if name == "late":
            content = await read_body(receive)
        self.ended.append(f"{name} done")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})


async def read_body(receive: Receive) -> bytes:
    content, more_body = b"", True
    while more_body:
        message = await receive()
        content += message.get("body", b"")
        more_body = message.get("more_body", False)
    return content


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.mark.slow
async def test_a_route_has_its_own_timeout_or_the_default(slow: Slow) -> None:
    """Breaks when every route has the same timeout, and when a shorter timeout is checked after the longer ones
    before it.
    """
    async with httpx.AsyncClient(transport=httpx.ASGITransport(slow.edge), base_url="http://app.test") as client:
        began = time.perf_counter()
        finished_at: dict[str, float] = {}

        async def ask(path: str) -> httpx.Response:
            response = await client.get(path)
            finished_at[path] = time.perf_counter() - began
            return response

        longer, rest, hasty = await asyncio.gather(*map(ask, ("/slow/longer", "/slow", "/slow/hasty")))
        assert longer.status_code == 200
        assert_problem(rest, 503, "deadline_exceeded")
        assert_problem(hasty, 503, "deadline_exceeded")
        assert finished_at["/slow/hasty"] < 0.55 < finished_at["/slow"] < 0.95 < finished_at["/slow/longer"]
    assert sorted(slow.ended) == ["hasty cancelled", "longer done", "slow cancelled"]


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


async def talk(slow: Slow, method: str, path: str, *messages: tuple[float, Message]) -> list[Message]:
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
    await slow.edge(scope_of(method, path), received.get, send)
    feeding.cancel()
    return sent


DISCONNECT: Message = {"type": "http.disconnect"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "messages", "ended"),
    [
        ("GET", [(0, body()), (0.25, DISCONNECT)], "slow cancelled"),
        ("GET", [(0.3, DISCONNECT)], "slow cancelled"),
        ("POST", [(0, body(b"ab", more=True)), (0.15, body(b"c")), (0.2, DISCONNECT)], "post 3 cancelled"),
    ],
    ids=["get", "get without a body message", "post"],
)
async def test_a_request_is_cancelled_when_its_client_disconnects(
    slow: Slow, method: str, messages: list[tuple[float, Message]], ended: str
) -> None:
    """Breaks when the edge does not listen for a disconnect."""
    began = time.perf_counter()
    with capture_logs() as logged:
        assert await talk(slow, method, "/slow", *messages) == []
    assert time.perf_counter() - began < 0.55, "before its timeout"
    assert slow.ended == [ended]
    assert [(line["event"], line["status"]) for line in logged] == [("request", 499)]


@pytest.mark.slow
async def test_watching_for_a_disconnect_loses_no_part_of_request_or_response(slow: Slow) -> None:
    """Breaks when the watch consumes a part of the body."""
    response = await talk(slow, "GET", "/slow/late", (0.2, body(b"x", more=True)), (0.2, body(b"y")))
    assert (response[0]["status"], response[1]["body"]) == (200, b"xy")
    response = await talk(slow, "GET", "/slow/late", (1.2, body(b"z")))
    assert (response[0]["status"], response[1]["body"]) == (200, b"z"), "it arrives while the application waits for it"
    response = await talk(slow, "GET", "/slow/late", (0.2, body()))
    assert (response[0]["status"], response[1]["body"]) == (200, b"")
    late = [(0.2, body(b"a" * 5, more=True)), (0.2, body(b"b" * 6))]
    assert [one["status"] for one in await talk(slow, "POST", "/slow", *late) if "status" in one] == [503]
    assert slow.ended == ["late done", "late done", "late done", "post 11 cancelled"]


@pytest.mark.slow
async def test_a_body_that_does_not_arrive_in_time_gets_a_408(slow: Slow) -> None:
    """Breaks when the timeout is a 503 regardless: a client would repeat a request that has changed nothing."""
    start, *_ = await talk(slow, "POST", "/slow", (0, body(b"ab", more=True)))
    assert (start["status"], dict(start["headers"])[b"connection"]) == (408, b"close")


async def test_a_disconnect_within_the_body_gets_a_400(slow: Slow) -> None:
    """Breaks when the application gets the part of the body that has arrived as if it was the whole."""
    start, *_ = await talk(slow, "POST", "/slow", (0, body(b"ab", more=True)), (0.05, DISCONNECT))
    assert start["status"] == 400
    assert slow.ended == []


async def test_a_request_that_the_server_cancels_too_stays_cancelled() -> None:
    """Breaks when the edge undoes every cancellation: a server that stops would wait for the request."""

    async def stopped_meanwhile(*_: object) -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            task.cancel()
            raise

    task = asyncio.create_task(request(stopped_meanwhile, hooks=[*HOOKS, Deadlines(0.1)]))
    with capture_logs() as logged, pytest.raises(asyncio.CancelledError):
        await task
    assert [(line["event"], line["status"]) for line in logged] == [("request", 0)], "it gets no response"


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


async def test_a_request_tells_its_calls_when_it_ends_until_its_response_starts() -> None:
    """Fails if a call to another service outlives the request, or if a stream has the deadline of its start."""
    trace, seen = Trace(*new_ids()), []

    class Traced(Hook):
        def admit(self, context: RequestContext) -> None:
            context.trace = trace

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(trace.deadline - time.perf_counter())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.append(trace.deadline)
        await send({"type": "http.response.body", "body": b""})

    await send_request(Edge(app, [AccessLog(), RequestId(), Traced(), Deadlines(10)]), scope_of("GET", "/x"))
    assert 0 < seen[0] <= 9.6
    assert seen[1] == 0
