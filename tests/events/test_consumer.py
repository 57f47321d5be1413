"""Applying events: once, in order, and on after failures."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, select

from events_app.app import Counted, Recorder, add_applied, add_count, counts, list_applied
from restwell import App
from restwell.database import Database, DatabaseUnavailable, Transaction, TransactionConflict, open_database, query
from restwell.errors import ServiceUnavailable
from restwell.events import Consumer, Event, EventBatch, EventReader, Topic
from restwell.events import _consumer as consumer_module
from restwell.events._consumer import Consumers
from restwell.events._queries import MAX_EVENTS
from restwell.events._tables import inbox, outbox
from restwell.jobs import Backoff, JobContext, Jobs, WorkerOptions, job
from restwell.testing import finish_jobs

delete_events = query("test.delete_events", delete(outbox))
positions = query("test.positions", select(inbox.c.position).where(inbox.c.position > 0).limit(100), into=int)


class Scripted(Consumer[Counted]):
    """Records events, and raises for those in ``fails`` after its write."""

    name = "scripted"
    topic = counts

    def __init__(self, database: Database, *fails: int) -> None:
        self.database = database
        self.fails = set(fails)
        self.seen: list[Event[Counted]] = []

    async def apply(self, tx: Transaction, event: Event[Counted]) -> None:  # noqa: ARG002  # a service has its own
        self.seen.append(event)
        async with self.database.transaction() as joined:  # as that of a service
            await joined.run(add_applied, consumer=self.name, key=event.key, number=event.payload.number)
        if event.payload.number in self.fails:
            raise ZeroDivisionError


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "BACKOFF", Backoff(0.0))


async def append(app: App, *keys: str) -> None:
    async with app.kit.database.transaction() as tx:
        for key in keys:
            await add_count(tx, app.kit.events, key)


async def begin(app: App, consumer: Consumer[Counted]) -> None:
    """Store its first positions, and apply nothing."""
    await consumers(app, consumer).runs[0]._begin((await app.kit.events.read(counts)).after)


async def recorded(app: App) -> list[tuple[str, int]]:
    return await app.kit.database.all(list_applied)


def consumers(app: App, *given: Consumer[Any], database: Database | None = None) -> Consumers:
    return Consumers(database or app.kit.database, app.kit.events, given)


async def test_a_worker_applies_events_as_they_come_and_finishes_before_it_stops(app: App) -> None:
    """Fails if a worker does not run consumers, or if a consumer looks for events only when it starts."""
    worker = app.worker(WorkerOptions(queues=("default",)))
    working = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        for number in range(1, 4):
            await append(app, "a")
            while len(await recorded(app)) < number:
                await asyncio.sleep(0.01)
    worker.stop()
    await working
    await append(app, "a")
    assert await recorded(app) == [("a", 1), ("a", 2), ("a", 3)]


async def test_events_of_a_key_are_applied_in_order_and_have_an_id(app: App) -> None:
    one = Scripted(app.kit.database)
    await append(app, "a", "b", "a")
    await append(app, "a")
    assert await consumers(app, one).apply_all() == 4
    assert [(each.id, each.payload.number) for each in one.seen if each.key == "a"] == [
        (f"counts:3:{n}", n) for n in (1, 2, 3)
    ]
    assert await consumers(app, one).apply_all() == 0


async def test_effects_and_position_are_one_transaction(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the effects are committed first, also those of a service with a transaction of its own."""
    await append(app, "a", "a")

    async def run(_tx: Transaction, *_: object, **__: object) -> int:
        raise ServiceUnavailable  # as a process that ends before its acknowledgement

    one = Scripted(app.kit.database)
    run_of = consumers(app, one).runs[0]
    with monkeypatch.context() as patched:
        real = Transaction.run

        async def run_until_position(tx: Transaction, named: Any, **arguments: Any) -> int:
            return await (run if named.name == "events.set_position" else real)(tx, named, **arguments)

        patched.setattr(Transaction, "run", run_until_position)
        assert await run_of.apply_next() == 0
    assert await recorded(app) == []
    await run_of.apply_next()
    assert await recorded(app) == [("a", 1), ("a", 2)]


async def test_a_repeat_is_dropped(app: App) -> None:
    """Fails if a consumer trusts what it has read: two of them read the same events before one applies them."""
    await append(app, "a", "a")
    both = asyncio.Barrier(2)

    class Slow(EventReader):
        async def read(self, topic: Topic[Any], after: str) -> EventBatch:
            batch = await app.kit.events.read(topic, after)
            if batch.events and after:
                await both.wait()
            return batch

    first, second = Scripted(app.kit.database), Scripted(app.kit.database)
    first.reader = second.reader = Slow()
    await begin(app, first)
    await append(app, "a")
    applied = await asyncio.gather(consumers(app, first).apply_all(), consumers(app, second).apply_all())
    assert sum(applied) == 3
    assert await recorded(app) == [("a", 1), ("a", 2), ("a", 3)]


async def test_a_failed_event_stops_its_partition_and_no_other(app: App) -> None:
    """Fails if a failure undoes the events before it, skips the event, or stops the other keys."""
    one = Scripted(app.kit.database, 3)
    await append(app, *"aaaa", *"bb")
    run = consumers(app, one)
    assert await run.apply_all() == 4
    assert sorted(await recorded(app)) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert await run.apply_all() == 0
    one.fails = set()
    assert await run.apply_all() == 2
    assert [number for key, number in await recorded(app) if key == "a"] == [1, 2, 3, 4]


async def test_a_conflict_with_another_transaction_is_no_failure_of_the_event(app: App) -> None:
    """Fails if a deadlock counts as a failure: the partition would wait, although another attempt succeeds."""

    class Conflicting(Scripted):
        async def apply(self, tx: Transaction, event: Event[Counted]) -> None:
            await super().apply(tx, event)
            if len(self.seen) == 1:
                raise TransactionConflict

    await append(app, "a")
    assert await consumers(app, Conflicting(app.kit.database)).apply_all() == 1
    assert await recorded(app) == [("a", 1)]


async def test_a_database_that_is_down_is_no_failure_of_the_event(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if it counts as one: the partition would wait although the database is back."""
    monkeypatch.setattr(consumer_module, "BACKOFF", Backoff(3_600.0, 3_600.0))

    class Disconnected(Scripted):
        async def apply(self, tx: Transaction, event: Event[Counted]) -> None:
            await super().apply(tx, event)
            if len(self.seen) == 1:
                raise DatabaseUnavailable

    await append(app, "a")
    run = consumers(app, Disconnected(app.kit.database))
    assert await run.apply_all() == 0
    assert await run.apply_all() == 1
    assert await recorded(app) == [("a", 1)]


async def test_a_failed_event_is_repeated_later_and_later(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if it is repeated at once, or if a failure is not in the log."""
    monkeypatch.setattr(consumer_module, "BACKOFF", Backoff(3_600.0, 3_600.0))
    one = Scripted(app.kit.database, 1)
    await append(app, "a")
    run = consumers(app, one)
    for _ in range(3):
        assert await run.apply_all() == 0
    assert len(one.seen) == 1
    assert "event_failed" in capsys.readouterr().out


async def test_a_consumer_that_takes_too_long_is_ended(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without a limit: on SQLite every other writer would wait for it."""
    monkeypatch.setattr(consumer_module, "APPLY_SECONDS", 0.05)
    await append(app, "a")

    class Hanging(Scripted):
        async def apply(self, tx: Transaction, event: Event[Counted]) -> None:
            await super().apply(tx, event)
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        assert await consumers(app, Hanging(app.kit.database)).apply_all() == 0
    assert await recorded(app) == []


async def test_events_that_were_deleted_before_they_were_applied_are_an_error(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if a consumer continues with the next event there is: what it has lost would not be noticed."""
    one = Scripted(app.kit.database)
    await append(app, "a")
    run = consumers(app, one)
    await run.apply_all()
    await append(app, "a")
    await app.kit.database.run(delete_events)
    await append(app, "a")
    assert await run.apply_all() == 0
    assert "EventsMissing: after 1 the next event is 3" in capsys.readouterr().out
    renamed = Scripted(app.kit.database)
    renamed.name = "renamed"
    assert await consumers(app, renamed).apply_all() == 1


async def test_a_new_consumer_begins_with_the_oldest_event(app: App) -> None:
    await append(app, "a")
    await consumers(app, Scripted(app.kit.database)).apply_all()
    await app.kit.database.run(delete_events)
    await append(app, "a", "b")
    later = Scripted(app.kit.database)
    later.name = "later"
    assert await consumers(app, later).apply_all() == 2
    assert sorted((each.key, each.payload.number) for each in later.seen) == [("a", 2), ("b", 1)]


async def test_a_consumer_continues_after_the_reader_failed(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if an error of the reader, as of a service that is down, ends the consumer."""
    calls = 0

    class Down(EventReader):
        async def read(self, topic: Topic[Any], after: str) -> EventBatch:
            nonlocal calls
            calls += 1
            if calls < 3:
                raise ConnectionError("down")
            return await app.kit.events.read(topic, after)

    monkeypatch.setattr(consumer_module, "POLL_SECONDS", 0.01)
    one = Scripted(app.kit.database)
    one.reader = Down()
    await append(app, "a")
    stopping = asyncio.Event()
    running = asyncio.create_task(consumers(app, one).run(stopping))
    async with asyncio.timeout(20):
        while not await recorded(app):
            await asyncio.sleep(0.01)
    stopping.set()
    await running
    assert "event_consumer_failed" in capsys.readouterr().out


async def test_one_process_at_a_time_applies_the_events_of_a_partition(app: App, database_url: str) -> None:
    """Fails without the lock of the position: both would apply the events, and one would fail at its commit."""
    await append(app, *"a" * (MAX_EVENTS + 1))
    async with open_database(database_url) as other:
        here, there = Scripted(app.kit.database), Scripted(other)
        runs = consumers(app, here), consumers(app, there, database=other)
        await begin(app, here)
        while len(await recorded(app)) <= MAX_EVENTS:
            await asyncio.gather(*(run.apply_all() for run in runs))
    assert [number for _, number in await recorded(app)] == list(range(1, MAX_EVENTS + 2))
    assert len(here.seen) + len(there.seen) == MAX_EVENTS + 1


async def test_jobs_of_a_consumer_are_enqueued_once(app: App) -> None:
    """``finish_jobs`` applies events, and runs the jobs that their consumers enqueue."""
    sent: list[str] = []

    @job()
    async def send(_context: JobContext, text: str) -> None:
        sent.append(text)

    app.kit.jobs.register([send])

    class Sender(Consumer[Counted]):
        name = "sender"
        topic = counts

        def __init__(self, jobs: Jobs) -> None:
            self._jobs = jobs

        async def apply(self, tx: Transaction, event: Event[Counted]) -> None:
            await self._jobs.enqueue(tx, send, text=event.id)

    app.kit.consumers = consumers(app, Recorder(), Sender(app.kit.jobs))
    await append(app, "a", "a")
    await finish_jobs(app)
    assert sent == ["counts:3:1", "counts:3:2"]
    assert len(await recorded(app)) == 2


async def test_two_consumers_of_one_name_are_refused(app: App) -> None:
    """Fails if they share positions: each would apply half of the events."""
    with pytest.raises(TypeError, match="two consumers are named scripted; rename one"):
        consumers(app, Scripted(app.kit.database), Scripted(app.kit.database))
