"""How many requests are taken on: as many as are answered soon, the important ones first, the rest told at once."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from api_client import ApiClient, assert_problem
from restwell import App
from restwell.database.facade import PoolStats
from restwell.edge.exchange import Scope
from restwell.edge.overload import FEWEST, FIRST, MOST, QUEUE_SECONDS, Overload, Overloaded
from restwell.testing import running
from shop.app import create_app
from shop.settings import ShopSettings

READ: Scope = {"method": "GET", "headers": [(b"authorization", b"Bearer x")]}
WRITE: Scope = {"method": "POST", "headers": [(b"authorization", b"Bearer x")]}
STRANGER: Scope = {"method": "POST", "headers": []}
PATH = "/v1/orders"


def filled(overload: Overload) -> Overload:
    while overload.enter_now(PATH):
        pass
    return overload


def figures(waits: int, seconds: float) -> dict[str, PoolStats]:
    return {"primary": PoolStats(1, 1, 1, 0, waits, seconds, 0, 0, 0, breaker_open=False)}


async def test_a_request_without_capacity_is_refused_soon() -> None:
    """Breaks when the requests wait without a limit."""
    overload = filled(Overload())
    began = time.monotonic()
    with pytest.raises(Overloaded) as told:
        await overload.enter(READ)
    assert QUEUE_SECONDS * 0.5 <= time.monotonic() - began < 0.5
    assert told.value.headers["retry-after"] == "1"


async def test_capacity_goes_to_writes_of_users_first_and_then_in_turn() -> None:
    """Breaks when all requests wait in one queue."""
    overload = filled(Overload())
    order: list[str] = []

    async def wait(name: str, scope: Scope) -> None:
        assert await overload.enter(scope)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name, scope in (
            ("read 1", READ),
            ("stranger", STRANGER),
            ("write 1", WRITE),
            ("read 2", READ),
            ("write 2", WRITE),
        ):
            group.create_task(wait(name, scope))
        await asyncio.sleep(0)
        for _ in range(5):
            overload.leave()
    assert order == ["write 1", "write 2", "read 1", "stranger", "read 2"]


async def test_no_more_requests_wait_than_are_admitted() -> None:
    overload = filled(Overload())
    results = await asyncio.gather(*(overload.enter(READ) for _ in range(FIRST + 5)), return_exceptions=True)
    assert all(isinstance(one, Overloaded) for one in results)
    began = time.monotonic()
    waiting = [asyncio.create_task(overload.enter(READ)) for _ in range(FIRST)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await overload.enter(READ)
    assert time.monotonic() - began < QUEUE_SECONDS
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_cancelled_waiter_takes_no_capacity() -> None:
    """Breaks when a turn that comes at the same moment is lost."""
    overload = filled(Overload())
    gone = asyncio.create_task(overload.enter(READ))
    await asyncio.sleep(0)
    overload.leave()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert overload.enter_now(PATH)
    assert not overload.enter_now(PATH)


async def test_the_concurrency_limit_follows_the_event_loop_delay() -> None:
    """Breaks when the limit follows the duration of requests: a slow route would then be refused on an idle machine."""
    waited = [figures(0, 0.0)]
    overload = filled(Overload(lambda: waited[0]))
    await asyncio.sleep(0.35)
    grown = overload.limit
    assert grown > FIRST, "all of it is used, and nobody waits"
    waited[0] = figures(100, 50.0)
    await asyncio.sleep(0.15)
    assert FEWEST <= overload.limit < grown, "those who needed a connection waited for half a second"
    before = overload.limit
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        time.sleep(0.08)  # noqa: ASYNC251  # that is the point
        await asyncio.sleep(0)
    assert FEWEST <= overload.limit < before
    for _ in range(FIRST - 1):
        overload.leave()
    await asyncio.sleep(0.15)
    shrunk = overload.limit
    await asyncio.sleep(0.3)
    assert overload.limit == shrunk <= MOST, "nobody asks for more"


@pytest.fixture
async def full(settings: ShopSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """Its limit stays as it is, however busy this machine."""
    monkeypatch.setattr("restwell.edge.overload.MOST", FIRST)
    monkeypatch.setattr("restwell.edge.overload.LOOP_SECONDS", 60.0)
    app = create_app(settings)
    async with running(app) as client:
        yield app, client


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_full_server_refuses_requests_and_stays_healthy(full: tuple[App, httpx.AsyncClient]) -> None:
    """An orchestrator that gets no health check restarts the server. A cached response costs next to nothing, and is sent, too."""
    app, client = full
    buyer = await ApiClient(client).sign_in("customer1@shop.example")
    assert (await client.get("/v1/products?limit=3")).status_code == 200
    filled(app.overload)
    refused = await buyer.get("/v1/users/me")
    assert_problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    for path in ("/health/live", "/health/ready", "/metrics", "/v1/products?limit=3"):
        assert (await client.get(path)).status_code == 200, path
    metrics = (await client.get("/metrics")).text
    assert 'restwell_requests_refused_total{kind="reads"} 1.0' in metrics
    for _ in range(FIRST):
        app.overload.leave()
    for _ in range(FIRST + 5):
        assert (await buyer.get("/v1/users/me")).status_code == 200, "each gives its room back"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_request_that_shares_a_load_takes_no_capacity(full: tuple[App, httpx.AsyncClient]) -> None:
    """Three hundred requests for one resource are answered with capacity for one request, and refused without any. Breaks
    when each needs capacity of its own.
    """
    app, client = full
    filled(app.overload)
    none = await asyncio.gather(*(client.get("/v1/products?limit=4") for _ in range(3)))
    assert [answer.status_code for answer in none] == [503] * 3
    app.overload.leave()
    answers = await asyncio.gather(*(client.get("/v1/products?limit=5") for _ in range(300)))
    assert {answer.status_code for answer in answers} == {200}
    assert app.overload.enter_now("/v1/products"), "the room is there again"
