"""Appending and reading events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import update

from events_app.app import Counted, add_count, counts
from restwell import App
from restwell.database import Database, Transaction, open_database, query
from restwell.database._transaction import TransactionHook
from restwell.errors import Invalid
from restwell.events import Topic
from restwell.events._outbox import QUEUE, Events, format_positions, parse_positions
from restwell.events._queries import MAX_EVENTS, PARTITIONS
from restwell.events._tables import outbox
from restwell.jobs._notifier import Notifier
from restwell.retention import Cleanup

expire = query("test.expire", update(outbox).values(expires_at=outbox.c.appended_at))


async def append(database: Database, events: Events, *keys: str) -> None:
    async with database.transaction() as tx:
        for key in keys:
            await add_count(tx, events, key)


async def read_all(events: Events, topic: Topic[Any] = counts) -> list[tuple[str, str]]:
    """The key and the payload of every event of one read."""
    return [(each.key, each.payload) for each in (await events.read(topic)).events]


class Paused(TransactionHook):
    """Holds a transaction between its last statement and its commit."""

    def __init__(self) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def before_commit(self, tx: Transaction) -> None:
        await tx.flush()
        self.reached.set()
        await self.go_on.wait()

    async def committed(self) -> None: ...

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None: ...


class FailedCommit(Paused):
    async def before_commit(self, tx: Transaction) -> None:
        await tx.flush()
        raise ZeroDivisionError


@asynccontextmanager
async def paused_append(database: Database, events: Events, key: str) -> AsyncIterator[Paused]:
    """A transaction that has appended, and commits when ``go_on`` is set."""
    paused = Paused()

    async def work() -> None:
        async with database.transaction() as tx:
            events.append(tx, counts, key, Counted(0))
            tx.hooks.append(paused)

    task = asyncio.create_task(work())
    await paused.reached.wait()
    try:
        yield paused
    finally:
        paused.go_on.set()
        await task


async def test_events_are_visible_if_and_only_if_their_transaction_commits(app: App) -> None:
    """Fails if ``append`` inserts in a transaction of its own."""
    database, events = app.kit.database, app.kit.events
    with suppress(ZeroDivisionError):
        async with database.transaction() as tx:
            await add_count(tx, events, "a")
            tx.hooks.append(FailedCommit())
    assert await read_all(events) == []
    async with database.transaction() as tx:
        await add_count(tx, events, "a")
        assert await read_all(events) == []
    assert await read_all(events) == [("a", '{"number":1}')]


async def test_a_rollback_leaves_no_gap_and_a_transaction_may_append_many(app: App) -> None:
    """Fails if positions come from a sequence: it does not roll back with the transaction."""
    database, events = app.kit.database, app.kit.events
    await append(database, events, "a")
    with suppress(ZeroDivisionError):
        async with database.transaction() as tx:
            events.append(tx, counts, "a", Counted(7))
            tx.hooks.append(FailedCommit())
    await append(database, events, "a", "b", "a", "a")
    found = (await events.read(counts)).events
    assert [(each.position, each.payload) for each in found if each.key == "a"] == [
        (n, f'{{"number":{n}}}') for n in range(1, 5)
    ]
    assert [each.position for each in found if each.key == "b"] == [1]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_later_position_is_not_visible_before_a_lower_one(app: App, database_url: str) -> None:
    """Fails if the lock of the partition ends before the commit: with BROKEN=no-lock the reader sees 2 and not 1."""
    events = app.kit.events
    async with open_database(database_url) as other:
        async with paused_append(app.kit.database, events, "a"):
            second = asyncio.create_task(append(other, events, "a"))
            await append(other, events, "b")  # another partition does not wait
            assert Topic.partition_of("a") != Topic.partition_of("b")
            done, _ = await asyncio.wait({second}, timeout=0.2)
            assert not done
            assert await read_all(events) == [("b", '{"number":1}')]
        await second
    assert [payload for key, payload in await read_all(events) if key == "a"] == ['{"number":0}', '{"number":1}']


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_the_order_is_that_of_the_commits_and_not_of_the_calls(app: App, database_url: str) -> None:
    """Fails if the position is assigned by ``append``: a transaction that begins first may commit last."""
    events = app.kit.events
    async with open_database(database_url) as other, app.kit.database.transaction() as tx:
        events.append(tx, counts, "a", Counted(1))
        await tx.flush()
        async with other.transaction() as faster:
            events.append(faster, counts, "a", Counted(2))
    assert await read_all(events) == [("a", '{"number":2}'), ("a", '{"number":1}')]


async def test_transactions_with_many_keys_in_any_order_do_not_deadlock(app: App, database_url: str) -> None:
    """Fails if the partitions are locked in the order of the events: PostgreSQL ends one of the transactions."""
    events = app.kit.events
    keys = [f"key-{n}" for n in range(30)]
    async with open_database(database_url) as other:

        async def append_all(database: Database, ordered: list[str]) -> None:
            for _ in range(10):
                async with database.transaction() as tx:
                    for key in ordered:
                        events.append(tx, counts, key, Counted(1))

        await asyncio.gather(append_all(app.kit.database, keys), append_all(other, keys[::-1]))


async def test_events_are_read_by_positions_and_in_batches(app: App) -> None:
    """Fails if a read returns an event again, or leaves one out between two batches."""
    database, events = app.kit.database, app.kit.events
    async with database.transaction() as tx:
        for n in range(MAX_EVENTS + 5):
            events.append(tx, counts, "a", Counted(n))
    partition = Topic.partition_of("a")
    first = (await events.read(counts)).events
    assert [each.position for each in first] == list(range(1, MAX_EVENTS + 1))
    after = [0] * PARTITIONS
    after[partition] = MAX_EVENTS
    rest = (await events.read(counts, format_positions(after))).events
    assert [each.position for each in rest] == list(range(MAX_EVENTS + 1, MAX_EVENTS + 6))
    assert await read_all(events, Topic("others", Counted)) == []


async def test_a_backlog_in_one_partition_does_not_delay_the_others(app: App) -> None:
    """Fails without a limit for each partition."""
    keys: dict[int, str] = {Topic.partition_of(str(n)): str(n) for n in range(200)}
    async with app.kit.database.transaction() as tx:
        for key in keys.values():
            for n in range(MAX_EVENTS + 1):
                app.kit.events.append(tx, counts, key, Counted(n))
    found = Counter(each.partition for each in (await app.kit.events.read(counts)).events)
    assert found == dict.fromkeys(range(PARTITIONS), MAX_EVENTS)


class Recording(Notifier):
    def __init__(self) -> None:
        self.sent: list[dict[str, int]] = []

    async def close(self) -> None: ...

    def notify(self, counts: Mapping[str, int]) -> None:
        self.sent.append(dict(counts))

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None: ...


async def test_workers_are_notified_of_commits_if_there_are_consumers(app: App) -> None:
    """Fails if a rollback, or an application without consumers, sends a notification."""
    notifier, database = Recording(), app.kit.database
    events = Events(database, notifier)
    await append(database, events, "a", "b")
    events.has_consumers = True
    with suppress(ZeroDivisionError):
        async with database.transaction() as tx:
            await add_count(tx, events, "a")
            raise ZeroDivisionError
    assert notifier.sent == []
    await append(database, events, "a", "b")
    assert notifier.sent == [{QUEUE: 1}]


async def test_events_past_their_retention_are_deleted_and_a_new_consumer_starts_after_them(app: App) -> None:
    """Fails if it starts at the beginning: a new consumer would wait for deleted events. Also by the nightly job."""
    database, events = app.kit.database, app.kit.events
    await append(database, events, "a", "a")
    assert await events.delete_expired() == 0
    await database.run(expire)
    await append(database, events, "a")
    partition = Topic.partition_of("a")
    assert parse_positions((await events.read(counts)).after)[partition] == 0
    assert await events.delete_expired() == 2
    assert parse_positions((await events.read(counts)).after)[partition] == 2
    await database.run(expire)
    await app.service(Cleanup).run()
    assert parse_positions((await events.read(counts)).after)[partition] == 3


@pytest.mark.parametrize(
    "after", ["", "1", "a", "-".join(["1"] * 17), "-".join(["9" * 19] * 16), "-".join(["-1"] * 16)]
)
async def test_malformed_positions_are_refused(after: str) -> None:
    with pytest.raises(Invalid):
        parse_positions(after)
