"""How far consumers are, and what they cannot apply, at a cost that does not grow with the number of events."""

import re
from typing import Any

import pytest
from sqlalchemy import delete

from events_app.app import Counted, Recorder, add_count, counts
from query_plans import assert_follows_an_index
from restwell import App
from restwell.database import Transaction, query
from restwell.events import Consumer, Event, EventBatch, EventReader, Topic
from restwell.events import _consumer as consumer_module
from restwell.events import _queries as queries
from restwell.events._consumer import Consumers
from restwell.events._status import ConsumerStatus, FailingEvent, statuses_of
from restwell.events._tables import outbox
from restwell.jobs import Backoff

delete_events = query("test.delete_events", delete(outbox))


class Failing(Consumer[Counted]):
    """Raises ``error`` for each event, if it is set."""

    name = "failing"
    topic = counts

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def apply(self, tx: Transaction, event: Event[Counted]) -> None:  # noqa: ARG002  # the interface
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "BACKOFF", Backoff(0.0))


async def append(app: App, *keys: str) -> None:
    async with app.kit.database.transaction() as tx:
        for key in keys:
            await add_count(tx, app.kit.events, key)


def consumers(app: App, *given: Consumer[Any]) -> Consumers:
    return Consumers(app.kit.database, app.kit.events, given)


async def status(app: App, given: Consumers | None = None) -> ConsumerStatus:
    (found,) = await statuses_of(app.kit.database, given or app.kit.consumers)
    return found


async def test_what_a_consumer_has_not_applied_is_unread(app: App) -> None:
    """Fails if events of a partition without a position, or applied ones, are counted wrongly."""
    assert await status(app) == ConsumerStatus("recorder", "counts", 0, None, [])
    await append(app, "a", "a")
    await append(app, "b")
    found = await status(app)
    times = [each.appended_at for each in (await app.kit.events.read(counts)).events]
    assert (found.unread, found.oldest_at) == (3, min(times))
    await app.kit.consumers.apply_all()
    assert await status(app) == ConsumerStatus("recorder", "counts", 0, None, [])
    await append(app, "a")
    found = await status(app)
    last = max(each.appended_at for each in (await app.kit.events.read(counts)).events)
    assert (found.unread, found.oldest_at) == (1, last)


async def test_deleted_events_are_unread_only_for_consumers_that_needed_them(app: App) -> None:
    """Fails if a lost event looks like an applied one, or if a new consumer waits for events of the past."""
    await append(app, "a")
    await app.kit.consumers.apply_all()
    await append(app, "a")
    await app.kit.database.run(delete_events)
    later = consumers(app, Failing())
    assert ((await status(app)).unread, (await status(app)).oldest_at) == (1, None)
    assert (await status(app, later)).unread == 0
    await append(app, "a")
    assert ((await status(app)).unread, (await status(app, later)).unread) == (2, 1)


async def test_a_failing_event_is_stored_with_its_attempts_until_it_is_applied(app: App) -> None:
    """Fails if the attempts are known to one process only, or if the next success leaves the error."""
    one = Failing()
    one.error = ValueError("no \x00 stock")
    await append(app, "a", "a")
    for attempts in (1, 2):
        assert await consumers(app, one).apply_all() == 0  # as a new process
        found = await status(app, consumers(app, one))
        assert found.failing == [FailingEvent("counts:3:1", attempts, "ValueError: no \\x00 stock")]
        assert found.unread == 2
    one.error = None
    assert await consumers(app, one).apply_all() == 2
    assert await status(app, consumers(app, one)) == ConsumerStatus("failing", "counts", 0, None, [])


async def test_a_failure_is_not_stored_once_another_process_has_applied_the_event(app: App) -> None:
    """Fails if the slower process reports an event that the faster one has applied."""
    await append(app, "a")
    await app.kit.consumers.apply_all()
    (run,) = app.kit.consumers.runs
    (event,) = (await app.kit.events.read(counts)).events
    await run._failed(event.partition, event, ZeroDivisionError())
    assert (await status(app)).failing == []


async def test_of_another_service_only_the_failing_events_are_known(app: App) -> None:
    """Fails if the events of this database count as those of another one."""

    class OtherService(EventReader):
        async def read(self, topic: Topic[Any], after: str) -> EventBatch:
            return await app.kit.events.read(topic, after)

    one = Failing()
    one.reader, one.error = OtherService(), ZeroDivisionError("by nothing")
    await append(app, "a")
    run = consumers(app, one, Recorder())
    await run.apply_all()
    failing = [FailingEvent("counts:3:1", 1, "ZeroDivisionError: by nothing")]
    assert await statuses_of(app.kit.database, run) == [
        ConsumerStatus("failing", "counts", None, None, failing),
        ConsumerStatus("recorder", "counts", 0, None, []),
    ]


async def test_an_application_without_consumers_asks_nothing(app: App) -> None:
    assert await statuses_of(app.kit.database, consumers(app)) == []


async def test_the_query_follows_the_key_of_the_events(app: App) -> None:
    """Fails if unread events are sorted to find the oldest."""
    arguments = {"topic": "counts", "consumer": "recorder"}
    plan = await assert_follows_an_index(app.kit.database, queries.unread, arguments)
    assert re.search(r'position"? ?>', plan), plan


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_the_query_reads_few_rows_of_many_events(app: App) -> None:
    """Fails if unread events are counted: they may be a million."""
    compiled = queries.unread.compiled["postgresql"]
    explained = compiled._replace(sql=f"EXPLAIN (ANALYZE, COSTS OFF) {compiled.sql}")
    async with app.kit.database.transaction() as tx:
        await tx.run_script("INSERT INTO outbox_partitions SELECT 'counts', n, 1000 FROM generate_series(0, 15) n")
        await tx.run_script(
            "INSERT INTO outbox_events SELECT 'counts', p, n, 'a', '{}', now(), now()"
            " FROM generate_series(0, 15) p, generate_series(1, 1000) n"
        )
        await tx.run_script("ANALYZE outbox_events; ANALYZE outbox_partitions; ANALYZE inbox_positions")
        bound = compiled.bind({"topic": "counts", "consumer": "recorder"})
        plan = "\n".join(str(row[0]) for row in await tx._fetch(explained, bound))
    read = [int(rows) * int(loops) for rows, loops in re.findall(r"rows=(\d+)(?:\.\d+)? loops=(\d+)", plan)]
    assert read, plan
    assert "Seq Scan on outbox_events" not in plan
    assert sum(read) < 200, plan
    assert (await status(app)).unread == 16_000
