"""The ambient transaction: services that open their own transactions commit together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select, update
from structlog.testing import capture_logs

from restwell.database import (
    Database,
    Transaction,
    TransactionConflict,
    UniqueViolation,
    open_database,
    param,
    query,
)
from restwell.database._ambient import in_ambient_transaction, no_ambient_transaction
from restwell.database._postgres import PostgresDatabase
from restwell.database._routing import RoutedDatabase
from restwell.database._transaction import TransactionHook

coins = Table("coins", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))

add = query("coins.add", insert(coins).values(id=param("id"), n=0))
raise_n = query("coins.raise", update(coins).where(coins.c.id == param("match_id")).values(n=coins.c.n + 1))
n_of = query("coins.n_of", select(coins.c.n).where(coins.c.id == param("id")), into=int, batch_on="id")
count = query("coins.count", select(func.count().label("n")).select_from(coins), into=int)
ids = query("coins.ids", select(coins.c.id).order_by(coins.c.id).limit(100), into=int)


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=3) as opened:
        async with opened.transaction() as tx:
            await tx.run_script("CREATE TABLE coins (id integer PRIMARY KEY, n integer NOT NULL)")
        yield opened


async def service_adds(database: Database, coin: int) -> None:
    """What a service does: it opens its own transaction, and knows of no other."""
    async with database.transaction() as tx:
        await tx.run(add, id=coin)


async def committed(database: Database) -> list[int]:
    with no_ambient_transaction():
        return await database.all(ids)


async def test_services_in_an_ambient_transaction_commit_together(database: Database) -> None:
    """Breaks when a joined block commits."""
    async with database.transaction(ambient=True):
        await service_adds(database, 1)
        await database.in_transaction(lambda tx: tx.run(add, id=2))
        await database.run(add, id=3)
        await database.run_many(add, [{"id": 4}, {"id": 5}])
        async with database.transaction(ambient=True) as tx:
            tx.defer(add, id=6)
        assert await committed(database) == []
    assert await committed(database) == [1, 2, 3, 4, 5, 6]


async def test_reads_in_an_ambient_transaction_see_its_writes(database: Database) -> None:
    """Breaks for ``find`` and ``one`` when they are batched, which reads on another connection."""
    async with database.transaction(ambient=True) as tx:
        tx.defer(add, id=1)
        assert await database.find(n_of, id=1) == 0
        await database.run(raise_n, match_id=1)
        assert await database.one(n_of, id=1) == 1
        assert await database.primary.one(count) == 1
        assert await database.all(ids) == [1]
        assert database.current_transaction is tx
    assert database.current_transaction is None


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_reads_of_the_primary_join_the_transaction_of_the_database_that_routes_to_it(
    database: Database, empty_url: str
) -> None:
    """Breaks when the primary does not know that database: it then reads on another connection."""
    primary, polls = (PostgresDatabase(empty_url, 2, 5.0) for _ in range(2))
    async with RoutedDatabase(primary, polls, []) as routed:
        async with routed.transaction(ambient=True):
            await service_adds(routed, 1)
            await service_adds(routed.primary, 2)
            assert (await routed.one(count), await routed.primary.one(count)) == (2, 2)
            assert await committed(database) == []
        assert await committed(database) == [1, 2]


async def test_an_error_in_one_service_rolls_back_all_of_them(database: Database) -> None:
    with pytest.raises(UniqueViolation):
        async with database.transaction(ambient=True):
            await service_adds(database, 1)
            await service_adds(database, 1)
    assert await committed(database) == []


async def _ends_after_its_write(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.run(add, id=2)
        raise ZeroDivisionError


async def _repeats_a_row(database: Database) -> None:
    await database.run(add, id=1)


@pytest.mark.parametrize("fails", [_ends_after_its_write, _repeats_a_row])
async def test_a_suppressed_error_saves_nothing_and_lets_no_more_statements_run(
    database: Database, fails: Callable[[Database], Awaitable[None]]
) -> None:
    """Breaks when a joined block, or a statement, does not record its error: half of the operation is then saved."""
    for goes_on in (False, True):
        with pytest.raises(RuntimeError, match="nothing was saved: a statement or a block"):
            async with database.transaction(ambient=True):
                await service_adds(database, 1)
                with suppress(ZeroDivisionError, UniqueViolation):
                    await fails(database)
                if goes_on:
                    await service_adds(database, 3)
        assert await committed(database) == []


async def test_a_conflict_in_a_service_retries_the_whole_ambient_transaction(database: Database) -> None:
    """Breaks when the joined ``in_transaction`` retries: PostgreSQL has already rolled back the rest."""
    conflicts = [TransactionConflict(), TransactionConflict()]
    attempts = {"operation": 0, "service": 0}

    async def service(tx: Transaction) -> None:
        attempts["service"] += 1
        await tx.run(add, id=2)
        if conflicts:
            raise conflicts.pop()

    async def operation(_: Transaction) -> None:
        attempts["operation"] += 1
        await service_adds(database, 1)
        with suppress(TransactionConflict):  # it is known nevertheless
            await database.in_transaction(service)

    with capture_logs() as logs:
        await database.in_transaction(operation, ambient=True)
    assert [line["event"] for line in logs] == ["transaction_retried"] * 2
    assert attempts == {"operation": 3, "service": 3}
    assert await committed(database) == [1, 2]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_deadlock_between_services_retries_one_of_the_operations(database: Database) -> None:
    """Breaks when the service's error ends the operation without a retry."""
    await database.run_many(add, [{"id": 1}, {"id": 2}])
    both_hold_one = asyncio.Barrier(2)
    attempts = 0

    async def service_raises(coin: int) -> None:
        async with database.transaction() as tx:
            await tx.run(raise_n, match_id=coin)

    async def operation(first: int, second: int) -> None:
        nonlocal attempts
        attempts += 1
        await service_raises(first)
        if attempts <= 2:
            await both_hold_one.wait()
        await service_raises(second)

    await asyncio.gather(
        database.in_transaction(lambda _: operation(1, 2), ambient=True),
        database.in_transaction(lambda _: operation(2, 1), ambient=True),
    )
    assert attempts == 3
    assert [await database.one(n_of, id=coin) for coin in (1, 2)] == [2, 2]


class Recorder(TransactionHook):
    def __init__(self) -> None:
        self.events: list[str] = []

    async def before_commit(self, tx: Transaction) -> None:
        found = await tx.one(count)
        self.events.append(f"before {found} {in_ambient_transaction()}")

    async def committed(self) -> None:
        self.events.append("committed")

    def rolled_back(self) -> None:
        self.events.append("rolled back")

    def outcome_unknown(self) -> None: ...


async def test_hooks_of_a_service_belong_to_the_commit_of_the_ambient_transaction(database: Database) -> None:
    """Breaks when hooks are called at the end of the joined block: a cache would be refilled before the commit."""
    saved, lost = Recorder(), Recorder()
    async with database.transaction(ambient=True):
        async with database.transaction() as tx:
            tx.hooks.append(saved)
            await tx.run(add, id=1)
        assert saved.events == []
    assert saved.events == ["before 1 False", "committed"]
    with pytest.raises(ZeroDivisionError):
        async with database.transaction(ambient=True):
            async with database.transaction() as tx:
                tx.hooks.append(lost)
            raise ZeroDivisionError
    assert lost.events == ["rolled back"]


async def test_tasks_of_an_ambient_transaction_share_its_connection_one_after_the_other(database: Database) -> None:
    """Breaks without the lock: PostgreSQL's driver refuses two statements at once on one connection."""
    async with database.transaction(ambient=True):
        async with asyncio.TaskGroup() as group:
            for coin in range(10):
                group.create_task(service_adds(database, coin))
        await asyncio.gather(*(database.run(raise_n, match_id=coin) for coin in range(10)))
        assert await asyncio.gather(*(database.one(n_of, id=coin) for coin in range(10))) == [1] * 10
        assert await committed(database) == []
    assert len(await committed(database)) == 10


async def test_a_task_that_outlives_an_ambient_transaction_uses_transactions_of_its_own(database: Database) -> None:
    """Breaks when a transaction that has ended is still joined."""
    ended = asyncio.Event()

    async def later() -> None:
        await ended.wait()
        await database.run(add, id=2)
        assert await database.one(n_of, id=2) == 0
        await database.in_transaction(lambda tx: tx.run(add, id=3))
        assert not in_ambient_transaction()

    async with database.transaction(ambient=True):
        await service_adds(database, 1)
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    ended.set()
    await task
    assert await committed(database) == [1, 2, 3]


async def test_a_transaction_is_not_committed_while_a_task_is_in_a_joined_block(database: Database) -> None:
    """Breaks when open blocks are not counted: the first half of the task is then saved without the second."""
    halfway, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as tx:
            await tx.run(add, id=1)
            halfway.set()
            await ended.wait()
            with pytest.raises(RuntimeError, match="the transaction has ended; await every task"):
                tx.defer(add, id=2)
            await tx.run(add, id=2)

    with pytest.raises(RuntimeError, match="nothing was saved: a task still uses the transaction"):
        async with database.transaction(ambient=True):
            task = asyncio.create_task(slow())
            await halfway.wait()
    ended.set()
    with pytest.raises(RuntimeError, match="the transaction has ended; await every task"):
        await task
    assert await committed(database) == []


async def test_the_commit_waits_for_a_running_statement_of_a_task(database: Database) -> None:
    """Breaks on PostgreSQL without the wait: COMMIT is refused while another statement runs."""
    async with database.transaction(ambient=True):
        task = asyncio.create_task(database.run(add, id=1))
        await asyncio.sleep(0)
    assert await task == 1
    assert await committed(database) == [1]


async def test_a_cancelled_ambient_transaction_is_rolled_back_and_holds_no_lock(database: Database) -> None:
    entered = asyncio.Event()

    async def hang(_: Transaction) -> None:
        await service_adds(database, 1)
        entered.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(database.in_transaction(hang, ambient=True))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await committed(database) == []
    await service_adds(database, 1)


async def test_each_database_has_its_own_ambient_transaction(database: Database, tmp_path: Path) -> None:
    """Breaks when the innermost ambient transaction is joined, whose database it may be."""
    async with open_database(f"sqlite:///{tmp_path / 'other.db'}") as other:
        async with other.transaction() as tx:
            await tx.run_script("CREATE TABLE IF NOT EXISTS coins (id integer PRIMARY KEY, n integer NOT NULL)")
        async with database.transaction(ambient=True) as outer:
            assert other.current_transaction is None
            async with other.transaction(ambient=True):
                await service_adds(database, 1)
                assert database.current_transaction is outer
                assert await other.one(count) == 0
            assert await committed(database) == []
    assert await committed(database) == [1]


async def test_statements_and_scripts_of_a_joined_block_run_in_the_ambient_transaction(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction(ambient=True), database.transaction() as tx:
            await tx.run_script("INSERT INTO coins VALUES (1, 0)")
            tx.defer(add, id=2)
            await tx.flush()
            assert await tx.all(ids) == [1, 2]
            raise ZeroDivisionError
    assert await committed(database) == []
