"""The concurrency limiter: priorities, load shedding, and adaptation to the delay of the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from api_client import assert_problem
from edge_client import HOOKS, hello, request
from restwell import App
from restwell.database._facade import PoolStats
from restwell.edge._concurrency_limiter import (
    INITIAL_LIMIT,
    MAX_LIMIT,
    MIN_LIMIT,
    QUEUE_SECONDS,
    ConcurrencyLimiter,
    Overloaded,
)
from restwell.edge._context import Receive, Scope, Send
from restwell.errors import NotFound
from restwell.settings import Settings
from restwell.testing import ApiClient, running
from tiny.app import create_app

READ: Scope = {"method": "GET", "headers": [(b"authorization", b"Bearer x")]}
WRITE: Scope = {"method": "POST", "headers": [(b"authorization", b"Bearer x")]}
ANONYMOUS_WRITE: Scope = {"method": "POST", "headers": []}
PATH = "/v1/orders"


def filled(limiter: ConcurrencyLimiter) -> ConcurrencyLimiter:
    while limiter.acquire_nowait(PATH):
        pass
    return limiter


def pool_stats(waits: int, seconds: float) -> dict[str, PoolStats]:
    return {"primary": PoolStats(1, 1, 1, 0, waits, seconds, 0, 0, 0, breaker_open=False)}


async def test_a_request_without_capacity_is_refused_soon() -> None:
    """Breaks when requests wait without a limit."""
    limiter = filled(ConcurrencyLimiter())
    began = time.monotonic()
    with pytest.raises(Overloaded) as raised:
        await limiter.acquire(READ)
    assert QUEUE_SECONDS * 0.5 <= time.monotonic() - began < 0.5
    assert raised.value.headers["retry-after"] == "1"


async def test_capacity_goes_to_writes_of_users_first_and_then_in_turn() -> None:
    """Breaks when all requests wait in one queue."""
    limiter = filled(ConcurrencyLimiter())
    order: list[str] = []

    async def wait(name: str, scope: Scope) -> None:
        await limiter.acquire(scope)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name, scope in (
            ("read 1", READ),
            ("anonymous write", ANONYMOUS_WRITE),
            ("write 1", WRITE),
            ("read 2", READ),
            ("write 2", WRITE),
        ):
            group.create_task(wait(name, scope))
        await asyncio.sleep(0)
        (queued,) = [one for one in limiter.collect() if one.name == "restwell_requests_queued"]
        assert {one.labels["kind"]: one.value for one in queued.samples} == {"writes": 2, "reads": 3}
        for _ in range(5):
            limiter.release()
    assert order == ["write 1", "write 2", "read 1", "anonymous write", "read 2"]


async def test_no_more_requests_wait_than_are_admitted() -> None:
    limiter = filled(ConcurrencyLimiter())
    results = await asyncio.gather(*(limiter.acquire(READ) for _ in range(INITIAL_LIMIT + 5)), return_exceptions=True)
    assert all(isinstance(one, Overloaded) for one in results)
    began = time.monotonic()
    waiting = [asyncio.create_task(limiter.acquire(READ)) for _ in range(INITIAL_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await limiter.acquire(READ)
    assert time.monotonic() - began < QUEUE_SECONDS
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_cancelled_waiter_takes_no_capacity() -> None:
    """Breaks when a slot is lost that is granted at the moment of the cancellation."""
    limiter = filled(ConcurrencyLimiter())
    cancelled = asyncio.create_task(limiter.acquire(READ))
    await asyncio.sleep(0)
    limiter.release()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert limiter.acquire_nowait(PATH)
    assert not limiter.acquire_nowait(PATH)


@pytest.mark.slow
async def test_the_concurrency_limit_follows_the_event_loop_delay() -> None:
    """Breaks when the limit follows the duration of requests: a slow route would then be refused on an idle machine."""
    stats = [pool_stats(0, 0.0)]
    limiter = filled(ConcurrencyLimiter(lambda: stats[0]))
    await asyncio.sleep(0.35)
    grown = limiter.limit
    assert grown > INITIAL_LIMIT, "the limit is used up, and the event loop is not delayed"
    stats[0] = pool_stats(100, 50.0)
    await asyncio.sleep(0.15)
    assert MIN_LIMIT <= limiter.limit < grown, "acquisitions waited half a second for a connection"
    before = limiter.limit
    until = time.monotonic() + 30
    while limiter.limit >= before and time.monotonic() < until:
        time.sleep(0.08)  # noqa: ASYNC251  # blocks the event loop
        await asyncio.sleep(0)
    assert MIN_LIMIT <= limiter.limit < before
    for _ in range(INITIAL_LIMIT - 1):
        limiter.release()
    await asyncio.sleep(0.15)
    shrunk = limiter.limit
    await asyncio.sleep(0.3)
    assert limiter.limit <= shrunk <= MAX_LIMIT, "there is no demand for more"


async def test_a_request_holds_a_slot_until_its_response_starts() -> None:
    """Breaks when the slot is held until the last byte: slow clients would use up the limit."""
    running: list[int] = []

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        running.append(limiter._running)
        await hello(scope, receive, send)
        running.append(limiter._running)

    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        running.append(limiter._running)
        raise NotFound

    limiter = ConcurrencyLimiter()
    for app in (count, fail):
        await request(app, hooks=[limiter])
    assert (running, limiter._running) == ([1, 0, 1], 0)


async def test_a_request_that_is_cancelled_before_its_response_gives_its_slot_back() -> None:
    """Fails if only requests with a response release their slot: disconnects of clients would use up the limit."""
    limiter, started = ConcurrencyLimiter(), asyncio.Event()

    async def wait(_scope: Scope, _receive: Receive, _send: Send) -> None:
        started.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(request(wait, hooks=[limiter]))
    await started.wait()
    assert limiter._running == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert limiter._running == 0


async def test_a_request_waits_for_a_slot_or_is_refused_before_the_application() -> None:
    """Breaks when a refused request releases a slot that it does not hold."""
    limiter = filled(ConcurrencyLimiter())
    waiting = asyncio.create_task(request(hooks=[limiter]))
    await asyncio.sleep(0.01)
    limiter.release()
    assert (await waiting).status_code == 200
    assert limiter.acquire_nowait(PATH)
    assert_problem(await request(hooks=[*HOOKS, limiter]), 503, "overloaded")
    assert limiter._running == INITIAL_LIMIT


@pytest.fixture
async def full(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """An application with a constant limit, regardless of the load of this machine."""
    monkeypatch.setattr("restwell.edge._concurrency_limiter.MAX_LIMIT", INITIAL_LIMIT)
    monkeypatch.setattr("restwell.edge._concurrency_limiter.MAX_LOOP_DELAY_SECONDS", 60.0)
    app = create_app(migrated)
    async with running(app) as client:
        yield app, client


@pytest.mark.slow
async def test_a_full_server_refuses_requests_and_stays_healthy(full: tuple[App, httpx.AsyncClient]) -> None:
    """An orchestrator restarts a server whose health checks fail. Cached responses need no slot."""
    app, client = full
    guest = ApiClient(client, "guest")
    assert (await client.get("/v1/notes?limit=3")).status_code == 200
    filled(app.concurrency_limiter)
    refused = await guest.get("/v1/account")
    assert_problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    for path in ("/health/live", "/health/ready", "/metrics", "/v1/notes?limit=3"):
        assert (await client.get(path)).status_code == 200, path
    metrics = (await client.get("/metrics")).text
    assert 'restwell_requests_shed_total{kind="reads"} 1.0' in metrics
    for _ in range(INITIAL_LIMIT):
        app.concurrency_limiter.release()
    for _ in range(INITIAL_LIMIT + 5):
        assert (await guest.get("/v1/account")).status_code == 200, "each request releases its slot"


@pytest.mark.slow
async def test_a_request_that_shares_a_load_takes_no_capacity(full: tuple[App, httpx.AsyncClient]) -> None:
    """Three hundred concurrent requests for one resource need one slot. Breaks when each needs its own."""
    app, client = full
    filled(app.concurrency_limiter)
    refused = await asyncio.gather(*(client.get("/v1/notes?limit=4") for _ in range(3)))
    assert [response.status_code for response in refused] == [503] * 3
    app.concurrency_limiter.release()
    responses = await asyncio.gather(*(client.get("/v1/notes?limit=5") for _ in range(300)))
    assert {response.status_code for response in responses} == {200}
    assert app.concurrency_limiter.acquire_nowait("/v1/notes"), "the slot is released"
