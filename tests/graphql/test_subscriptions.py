"""Subscriptions have the guards, limits and problems of their route, and end with their client."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final

import httpx
import pytest

from event_streams import subscribed
from graphql_app import Book, create_app
from restwell import App
from restwell.database import Database
from restwell.errors import NotFound
from restwell.graphql import Limits, _subscriptions
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, access_table, check_access, running
from restwell.web import Feature, get, signed_in
from tiny.app import USERS, note_by_id

NEWS: Final = "subscription($shelf: BigInt! = 1) { news(shelfId: $shelf) { id author { text } } }"
EVENTS: Final = "text/event-stream"

pytestmark = pytest.mark.usefixtures("client")


class Shelf:
    """``arrivals``: the numbers of its new books; None ends the streams, and an exception is raised."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.readers = 0
        self.reads = 0

    async def watch(self, database: Database) -> AsyncIterator[Book]:
        self.readers += 1
        try:
            while (arrival := await self.arrivals.get()) is not None:
                if isinstance(arrival, Exception):
                    raise arrival
                note = await database.find(note_by_id, id=arrival)
                self.reads += 1
                if note is not None:
                    yield Book(note.id, note.text)
        finally:
            self.readers -= 1


@get("/news/{shelf_id}", guards=[signed_in])
async def news(shelf_id: int, shelf: Shelf, database: Database) -> AsyncIterator[Book]:
    """New books of a shelf."""
    if shelf_id != 1:
        raise NotFound
    return shelf.watch(database)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def app(filled: Settings, shelf: Shelf) -> App:
    limits = Limits(subscriptions=3, subscriptions_per_client=2)
    return create_app(filled, Feature(services=[shelf]), subscriptions={"news": news}, limits=limits)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


async def test_each_event_runs_the_document_with_its_relations(
    app: App, shelf: Shelf, client: httpx.AsyncClient
) -> None:
    """Fails if the events, or the repeated reads of the source, share one query budget: the fixture reports it.

    Breaks when the source runs in the trace of the request, or when the counted queries are not forgotten.
    """
    for number in (1, 2, 3, None):
        shelf.arrivals.put_nowait(number)
    async with subscribed(app, NEWS, "guest") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        for number in (1, 2, 3):
            assert await stream.event() == {
                "data": {"news": {"id": number, "author": {"text": f"book {number % 5 + 1}"}}}
            }
        assert await stream.event() is None
        assert await stream.read() == ""
    async with subscribed(app, NEWS, "guest"):
        for _ in range(3):
            shelf.arrivals.put_nowait(999)
        while shelf.reads < 6:
            await asyncio.sleep(0.01)
    assert not app.query_budget.violations
    metrics = (await client.get("/metrics")).text
    assert 'operations_total{kind="SUBSCRIPTION",operation="news",outcome="ok"} 2.0' in metrics
    assert "restwell_graphql_subscriptions 0.0" in metrics


async def test_the_guards_run_again_before_each_event(app: App, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a caller whose session has ended receives another event. Breaks when they run only once."""
    async with subscribed(app, NEWS, "guest") as stream:
        shelf.arrivals.put_nowait(1)
        assert "data" in await stream.event()
        monkeypatch.delitem(USERS, "guest")
        shelf.arrivals.put_nowait(2)
        last = await stream.event()
        assert [each["extensions"]["code"] for each in last["errors"]] == ["unauthorized"]
        assert last["data"] is None
        assert await stream.event() is None
    assert shelf.readers == 0


async def test_a_subscription_without_events_sends_comments_and_ends_with_the_session(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if a proxy would close an idle connection, and if one without a session stays open."""
    monkeypatch.setattr(_subscriptions, "HEARTBEAT_SECONDS", 0.02)
    async with subscribed(app, NEWS, "guest") as stream:
        assert [await stream.read() for _ in range(2)] == [":\n\n"] * 2
        monkeypatch.delitem(USERS, "guest")
        assert (await stream.event())["errors"][0]["extensions"]["code"] == "unauthorized"


async def test_open_subscriptions_are_limited_for_each_client_and_in_all(
    app: App, shelf: Shelf, client: httpx.AsyncClient
) -> None:
    """Fails if a place is not free again when the client has left, or if the source goes on without it.

    Breaks when the place is not held until the stream ends, and when the step that waits is not cancelled.
    """
    async with subscribed(app, NEWS, "owner"):
        async with subscribed(app, NEWS, "guest"), subscribed(app, NEWS, "guest") as second:
            assert second.status == 200
            async with subscribed(app, NEWS, "guest") as third:
                assert (third.status, "too_many_subscriptions" in await third.read()) == (429, True)
            async with subscribed(app, NEWS, "owner") as fourth:
                assert (fourth.status, fourth.headers["retry-after"]) == (503, "1")
            assert "restwell_graphql_subscriptions 3.0" in (await client.get("/metrics")).text
        assert shelf.readers == 1
        async with subscribed(app, NEWS, "guest") as again:
            assert again.status == 200
    assert shelf.readers == 0


async def test_a_failure_of_the_source_is_the_last_event(app: App, shelf: Shelf) -> None:
    """Fails if the text of an unexpected exception leaves the server."""
    for error, code in ((NotFound(), "not_found"), (ValueError("hunter2"), "internal_error")):
        shelf.arrivals.put_nowait(error)
        async with subscribed(app, NEWS, "guest") as stream:
            last = await stream.event()
            assert ([each["extensions"]["code"] for each in last["errors"]], "hunter2" in str(last)) == ([code], False)
            assert await stream.event() is None


@pytest.mark.parametrize(
    ("query", "token", "accept", "status", "code"),
    [
        (NEWS, "", EVENTS, 401, "unauthorized"),
        (NEWS, "guest", "application/json", 406, "event_stream_required"),
        (NEWS.replace("= 1", "= 2"), "guest", EVENTS, 404, "not_found"),
        ("subscription { news { id } }", "guest", EVENTS, 400, "invalid_document"),
        ("subscription { news(shelfId: 1) { id } b: news(shelfId: 1) { id } }", "guest", EVENTS, 400, "of its own"),
        (NEWS.replace("= 1", ""), "guest", EVENTS, 422, "invalid"),
    ],
)
async def test_a_subscription_may_be_refused_before_it_begins(
    app: App, query: str, token: str, accept: str, status: int, code: str
) -> None:
    async with subscribed(app, query, token, accept=accept) as stream:
        assert (stream.status, code in await stream.read()) == (status, True)


async def test_the_access_table_has_subscriptions(app: App, client: httpx.AsyncClient) -> None:
    table = access_table(app)
    assert ["SUBSCRIPTION", "news", "signed", "in"] in [line.split() for line in table.splitlines()]
    await check_access(app, table, [Caller(ApiClient(client, each), role=each) for each in ("owner", "guest")])


async def test_the_duration_of_a_subscription_is_that_until_its_start(app: App, client: httpx.AsyncClient) -> None:
    """Fails if a stream of an hour counts as a request that took an hour, and raises the alert of slow requests."""
    began = perf_counter()
    async with subscribed(app, NEWS, "guest"):
        limit = perf_counter() - began
        await asyncio.sleep(0.1)
    (line,) = [
        each
        for each in (await client.get("/metrics")).text.splitlines()
        if each.startswith("http_server_request_duration_seconds_sum") and '"/graphql"' in each
    ]
    assert float(line.split()[-1]) < limit
