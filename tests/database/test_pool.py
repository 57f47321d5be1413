"""The PostgreSQL connection pool: its limit, its order, the reset of connections, and the circuit breaker."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, literal, select, text, update

from restwell._circuit_breaker import FAILURES, PAUSE_SECONDS
from restwell.database import DatabaseBusy, DatabaseUnavailable, Transaction, TransactionConflict, param, query
from restwell.database._facade import PoolStats
from restwell.database._postgres import PostgresDatabase
from restwell.testing import FaultProxy
from servers import Postgres, postgres, postgres_programs

rows = Table("rows", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))

one = query("test.one", select(literal(1).label("n")), into=int)
sleep = query("test.sleep", text("SELECT count(pg_sleep(30))"), into=int)
nap = query("test.nap", text("SELECT count(pg_sleep(0.05))"), into=int)
count = query("test.count", select(func.count().label("n")).select_from(rows), into=int)
add = query("test.add", insert(rows).values(id=param("id"), n=0))
raise_n = query("test.raise", update(rows).where(rows.c.id == param("match_id")).values(n=rows.c.n + 1))
n_of = query("test.n_of", select(rows.c.n).where(rows.c.id == param("id")), into=int)
doubtful = query("test.division", select((literal(1) / param("by")).label("n")), into=int)

IN_USE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'restwell'"
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid != pg_backend_pid()"
)
SCHEMA = (
    "CREATE TABLE rows (id integer PRIMARY KEY, n integer NOT NULL)",
    "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'",
    "CREATE TABLE slow (id integer)",
    (
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()"
    ),
)


@pytest.fixture
async def opened(postgres_server: str) -> AsyncIterator[PostgresDatabase]:
    """A database with a pool of three connections and the schema above."""
    name = f"pool_{time.monotonic_ns()}"
    outside = await asyncpg.connect(postgres_server)
    await outside.execute(f"CREATE DATABASE {name}")
    async with PostgresDatabase(f"{postgres_server.rpartition('/')[0]}/{name}", 3, 5) as database:
        async with database.transaction() as tx:
            for statement in SCHEMA:
                await tx.run_script(statement)
        yield database
    await outside.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await outside.close()


def stats(database: PostgresDatabase) -> PoolStats:
    return database.pool_stats()["primary"]


async def fetch_value(database: PostgresDatabase, statement: str) -> int:
    connection = await asyncpg.connect(database._connector._url.dsn)
    try:
        answer: int = await connection.fetchval(statement)
        return answer
    finally:
        await connection.close()


async def cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_pool_never_exceeds_its_size(opened: PostgresDatabase) -> None:
    """Breaks when connections being opened are not counted: ten callers then open one each."""
    await asyncio.gather(*(opened.one(nap) for _ in range(20)))
    assert await fetch_value(opened, IN_USE) == 3
    pool_stats = stats(opened)
    assert (pool_stats.size, pool_stats.open, pool_stats.in_use, pool_stats.waiting, pool_stats.waits) == (
        3,
        3,
        0,
        0,
        17,
    )
    assert pool_stats.wait_seconds > 0.05


async def test_the_pool_serves_waiters_in_turn(opened: PostgresDatabase) -> None:
    done: list[int] = []

    async def use(number: int) -> None:
        await opened.one(nap)
        done.append(number)

    await asyncio.gather(*(use(number) for number in range(12)))
    for place, number in enumerate(done):
        overtaken = set(range(number)) - set(done[:place])
        assert len(overtaken) <= 2, "those on the other two connections may take longer"


async def test_a_cancelled_statement_ends_on_the_server_and_its_connection_is_reused(opened: PostgresDatabase) -> None:
    """Breaks when a connection is reused while its statement runs, or is closed."""
    tasks = [asyncio.create_task(opened.one(sleep)) for _ in range(3)]
    await asyncio.sleep(0.3)
    assert await fetch_value(opened, SLEEPING) == 3
    for task in tasks:
        await cancel(task)
    began = time.monotonic()
    assert await asyncio.gather(*(opened.one(one) for _ in range(3))) == [1, 1, 1]
    assert time.monotonic() - began < 1
    async with asyncio.timeout(10):  # two connections may have served all three, and the last one not be free yet
        while await fetch_value(opened, SLEEPING):
            await asyncio.sleep(0.05)
    assert stats(opened).open == 3


async def test_a_cancelled_transaction_releases_its_locks(opened: PostgresDatabase) -> None:
    await opened.run(add, id=1)

    async def hold() -> None:
        async with opened.transaction() as tx:
            await tx.run(raise_n, match_id=1)
            await asyncio.sleep(30)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.2)
    await cancel(task)
    began = time.monotonic()
    assert await opened.run(raise_n, match_id=1) == 1
    assert time.monotonic() - began < 1
    assert await opened.one(n_of, id=1) == 1


async def test_a_statement_cancelled_inside_a_transaction_costs_no_connection(opened: PostgresDatabase) -> None:
    """Breaks when the reset sends a statement that a failed transaction rejects: the connection is then closed."""

    async def hang() -> None:
        async with opened.transaction() as tx:
            await tx.one(sleep)

    for _ in range(3):
        task = asyncio.create_task(hang())
        await asyncio.sleep(0.1)
        before = await fetch_value(opened, "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'restwell'")
        await cancel(task)
        await asyncio.sleep(0.2)
        after = await fetch_value(opened, "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'restwell'")
        assert (stats(opened).in_use, before) == (0, after)


async def test_a_commit_that_was_sent_is_not_cancelled(opened: PostgresDatabase) -> None:
    """Breaks when COMMIT is awaited in the task of the caller: the cancellation then cancels it on the server."""

    async def store() -> None:
        async with opened.transaction() as tx:
            await tx.run(add, id=1)
            await tx.run_script("INSERT INTO slow VALUES (1)")

    task = asyncio.create_task(store())
    await asyncio.sleep(0.25)
    await cancel(task)
    await asyncio.sleep(0.5)
    assert await opened.one(count) == 1
    assert stats(opened).in_use == 0


async def test_a_transaction_that_suppresses_an_error_is_not_reported_as_committed(opened: PostgresDatabase) -> None:
    """Breaks when the command tag of COMMIT is not checked: PostgreSQL returns ROLLBACK without an error."""
    with pytest.raises(RuntimeError, match="nothing was saved"):
        async with opened.transaction() as tx:
            await tx.run(add, id=1)
            with pytest.raises(asyncpg.DivisionByZeroError):
                await tx.one(doubtful, by=0)
    assert await opened.one(count) == 0


async def test_a_cancelled_waiter_keeps_no_connection(opened: PostgresDatabase) -> None:
    """Breaks when a waiter that is cancelled at the handover keeps the connection: the pool then leaks it."""
    pool = opened._pool
    assert pool is not None
    acquired = [await pool.acquire() for _ in range(3)]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    pool.release(acquired.pop())
    await cancel(waiting)
    for connection in acquired:
        pool.release(connection)
    assert await asyncio.gather(*(opened.one(one) for _ in range(3))) == [1, 1, 1]
    assert (stats(opened).in_use, stats(opened).open) == (0, 3)


async def test_both_transactions_of_a_deadlock_succeed(opened: PostgresDatabase) -> None:
    """Breaks without the retry: PostgreSQL aborts one of the two, and its caller gets database_busy."""
    for number in (1, 2):
        await opened.run(add, id=number)
    tries: list[int] = []
    both = asyncio.Barrier(2)

    async def raise_both(first: int, second: int) -> str:
        async def work(tx: Transaction) -> str:
            tries.append(first)
            await tx.run(raise_n, match_id=first)
            if tries.count(first) == 1:
                await both.wait()
            await tx.run(raise_n, match_id=second)
            return f"{first} then {second}"

        return await opened.in_transaction(work)

    done = await asyncio.gather(raise_both(1, 2), raise_both(2, 1))
    assert list(done) == ["1 then 2", "2 then 1"]
    assert len(tries) == 3
    assert [await opened.one(n_of, id=number) for number in (1, 2)] == [2, 2]


async def test_a_column_type_that_changes_under_a_prepared_statement_causes_no_error(opened: PostgresDatabase) -> None:
    """Breaks when the error is not a conflict: one request per connection then fails with a 500 after such a
    migration."""
    await opened.run(add, id=1)
    for kind in ("bigint", "integer"):
        assert await opened.in_transaction(lambda tx: tx.one(n_of, id=1)) == 0
        outside = await asyncpg.connect(opened._connector._url.dsn)
        await outside.execute(f"ALTER TABLE rows ALTER n TYPE {kind}")
        await outside.close()
        assert await opened.in_transaction(lambda tx: tx.one(n_of, id=1)) == 0


async def test_a_persistent_conflict_raises_database_busy_after_three_attempts(opened: PostgresDatabase) -> None:
    tries = 0

    async def work(_tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise TransactionConflict

    with pytest.raises(DatabaseBusy):
        await opened.in_transaction(work)
    assert tries == 3


@pytest.fixture
async def private_server() -> AsyncIterator[Postgres]:
    """A server that the test stops."""
    if postgres_programs() is None:
        pytest.skip("needs a server that is not on this machine: PostgreSQL (apt-get install postgresql)")
    with postgres() as server:
        yield server


@pytest.mark.integration
async def test_callers_do_not_wait_for_a_server_that_is_down(private_server: Postgres) -> None:
    """Breaks without the circuit breaker: every caller then tries to connect."""
    async with PostgresDatabase(private_server.url, 3, 5) as database:
        assert await database.one(one) == 1
        private_server.stop()
        for _ in range(FAILURES):
            with pytest.raises(DatabaseUnavailable):
                await database.one(one)
        failures = stats(database).failures
        assert stats(database).breaker_open
        for _ in range(100):
            with pytest.raises(DatabaseUnavailable):
                await database.one(one)
        assert stats(database).failures <= failures + 1
        private_server.start()
        await asyncio.sleep(PAUSE_SECONDS)
        assert await database.one(one) == 1
        assert not stats(database).breaker_open


@pytest.fixture
async def proxied(postgres_server: str) -> AsyncIterator[tuple[PostgresDatabase, FaultProxy]]:
    """A database behind a proxy, with six connections and a timeout of one second."""
    host, _, name = postgres_server.rpartition("/")
    address, _, port = host.rpartition(":")
    async with FaultProxy(int(port)) as proxy, PostgresDatabase(f"{address}:{proxy.port}/{name}", 6, 1) as database:
        for attempt in range(5):  # a busy machine may take a second to connect
            try:
                await asyncio.gather(*(database.one(nap) for _ in range(6)))
                break
            except DatabaseUnavailable:
                await asyncio.sleep(attempt)
        yield database, proxy


async def test_queries_to_an_unresponsive_server_time_out(proxied: tuple[PostgresDatabase, FaultProxy]) -> None:
    """Breaks without command_timeout: a caller then waits for the TCP timeout."""
    database, proxy = proxied
    before = len(asyncio.all_tasks())
    proxy.stall()
    began = time.monotonic()
    answers = await asyncio.gather(*(database.one(one) for _ in range(12)), return_exceptions=True)
    assert time.monotonic() - began < 2
    assert {type(answer) for answer in answers} <= {DatabaseUnavailable, DatabaseBusy}
    assert stats(database).breaker_open
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await database.one(one)
    assert time.monotonic() - began < 0.1
    proxy.resume()
    await asyncio.sleep(PAUSE_SECONDS + 0.2)
    assert await database.one(one) == 1
    await asyncio.gather(*(database.one(nap) for _ in range(6)))
    await asyncio.sleep(2)
    assert len(asyncio.all_tasks()) <= before + 3 * 6, (
        "the proxy has three tasks a connection, and nothing else is left"
    )


async def test_a_transaction_begins_on_a_new_connection_when_the_old_ones_are_lost(
    proxied: tuple[PostgresDatabase, FaultProxy],
) -> None:
    """Breaks without the retry: each lost connection of the pool then causes a 503."""
    database, proxy = proxied
    proxy.reset()
    async with database.transaction() as tx:
        assert await tx.one(one) == 1
