"""Routing of reads with a real streaming replica: read-your-writes, and no reads on an unhealthy replica."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import asyncpg
import pytest
from msgspec import Struct
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, func, select, update

from restwell.database import Database, Query, open_database, param, query
from restwell.database import _routing as routing
from restwell.database._consistency import MAX_LSN, SessionConsistency, require_lsn
from restwell.database._routing import Replica, RoutedDatabase
from servers import Postgres, postgres, postgres_programs

pytestmark = pytest.mark.integration

T = TypeVar("T")

ACCOUNTS = 10
accounts = Table("accounts", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))

on_replica = query("test.on_replica", select(func.pg_is_in_recovery(type_=Boolean).label("yes")), into=bool)


class Account(Struct, frozen=True):
    n: int
    on_replica: bool


columns = (accounts.c.n, func.pg_is_in_recovery(type_=Boolean).label("on_replica"))
by_id = query("test.by_id", select(*columns).where(accounts.c.id == param("id")), into=Account, batch_on="id")
raise_n = query("test.raise", update(accounts).where(accounts.c.id == param("match_id")).values(n=accounts.c.n + 1))
raised = query(
    "test.raised",
    update(accounts).where(accounts.c.id == param("match_id")).values(n=accounts.c.n + 1).returning(accounts.c.n),
    into=int,
)


class Pair:
    """A primary and its replica, with ten accounts."""

    def __init__(self, primary: Postgres, replica: Postgres) -> None:
        self.primary = primary
        self.replica = replica

    async def on(self, server: Postgres, statement: str) -> Any:
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def pause(self) -> None:
        """Pause the replay: the replica receives WAL and does not apply it."""
        await self.on(self.replica, "SELECT pg_wal_replay_pause()")
        while await self.on(self.replica, "SELECT pg_get_wal_replay_pause_state()") != "paused":
            await asyncio.sleep(0.01)

    async def resume(self) -> None:
        await self.on(self.replica, "SELECT pg_wal_replay_resume()")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    if postgres_programs() is None:
        pytest.skip("needs a server that is not on this machine: PostgreSQL (apt-get install postgresql)")
    with postgres() as primary, postgres(primary) as replica:
        yield primary, replica


@pytest.fixture
async def pair(servers: tuple[Postgres, Postgres]) -> Pair:
    made = Pair(*servers)
    await made.on(made.primary, "DROP TABLE IF EXISTS accounts")
    await made.on(made.primary, "CREATE TABLE accounts (id integer PRIMARY KEY, n integer NOT NULL)")
    await made.on(made.primary, f"INSERT INTO accounts SELECT id, 0 FROM generate_series(1, {ACCOUNTS}) id")
    return made


@pytest.fixture
async def routed(pair: Pair) -> AsyncIterator[RoutedDatabase]:
    """The routed database, after the replica has become available."""
    database = open_database(pair.primary.url, 3, 5, [pair.replica.url])
    assert isinstance(database, RoutedDatabase)
    async with database:
        await until_on_replica(database)
        yield database


async def until_on_replica(database: Database, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not await ask(database, on_replica):
        assert time.monotonic() < deadline, "the replica is not read from"
        await asyncio.sleep(0.05)


async def ask(database: Database, what: Query[T], lsn: int = 0, **arguments: Any) -> T:
    """Read like a request that requires ``lsn``."""

    async def request() -> T:
        require_lsn(SessionConsistency(lsn))
        return await database.one(what, **arguments)

    return await asyncio.create_task(request())


async def write(database: Database, which: int = 1) -> tuple[int, Account]:
    """Write like a request. Returns the LSN that its reads require, and the row that it reads afterwards."""

    async def request() -> tuple[int, Account]:
        seen = SessionConsistency()
        require_lsn(seen)
        await database.run(raise_n, match_id=which)
        return seen.lsn, await database.one(by_id, id=which)

    return await asyncio.create_task(request())


async def test_only_a_caller_with_a_known_lsn_reads_from_a_replica(routed: RoutedDatabase) -> None:
    assert await ask(routed, on_replica)
    assert not await routed.one(on_replica), "for example a job that reads after a write"
    assert not await ask(routed.primary, on_replica)
    async with routed.transaction() as tx:
        assert not await tx.one(on_replica)


async def test_a_writer_reads_its_own_write_while_others_may_read_older_rows(
    pair: Pair, routed: RoutedDatabase
) -> None:
    """Breaks when LSNs are not compared: the writer then reads 0."""
    await pair.pause()
    try:
        lsn, seen = await write(routed)
        assert seen == Account(1, on_replica=False)
        assert await ask(routed, by_id, lsn, id=1) == Account(1, on_replica=False)
        assert await ask(routed, by_id, id=1) == Account(0, on_replica=True)
        concurrent = await asyncio.gather(*(ask(routed, by_id, asked, id=1) for asked in (0, lsn, 0, lsn)))
        assert [account.n for account in concurrent] == [0, 1, 0, 1], "batched with callers of a lower LSN"
    finally:
        await pair.resume()
    await asyncio.sleep(0.5)
    assert await ask(routed, by_id, lsn, id=1) == Account(1, on_replica=True)


async def test_every_kind_of_write_advances_the_lsn(routed: RoutedDatabase) -> None:
    async def request(how: int) -> int:
        seen = SessionConsistency()
        require_lsn(seen)
        if how == 0:
            await routed.one(raised, match_id=2)
        elif how == 1:
            await routed.run_many(raise_n, [{"match_id": 2}, {"match_id": 3}])
        else:
            async with routed.transaction() as tx:
                await tx.run(raise_n, match_id=2)
        return seen.lsn

    positions = [await asyncio.create_task(request(how)) for how in range(3)]
    assert positions == sorted(positions)
    assert positions[0] > 0
    assert (await ask(routed, by_id, positions[-1], id=2)).n == 3


async def test_after_a_write_of_unknown_lsn_reads_go_to_the_primary(pair: Pair) -> None:
    """Breaks when an unknown LSN raises: the caller then gets an error for a write that succeeded."""
    database = open_database(pair.primary.url, 1, 0.5, [pair.replica.url])
    held = asyncio.Event()

    async def hold() -> None:
        async with database.primary.transaction():
            held.set()
            await asyncio.sleep(0.5)

    async def request() -> int:
        seen = SessionConsistency()
        require_lsn(seen)
        async with database.transaction() as tx:
            await tx.run(raise_n, match_id=1)
            waiting = asyncio.create_task(hold())
            await asyncio.sleep(0.05)
        await waiting
        return seen.lsn

    async with database:
        assert await asyncio.create_task(request()) == MAX_LSN
        assert held.is_set()
        assert await ask(database, by_id, MAX_LSN, id=1) == Account(1, on_replica=False)


async def test_a_lagging_replica_is_skipped_until_it_catches_up(
    pair: Pair, routed: RoutedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the lag check: a client without a token then reads stale rows without a bound."""
    monkeypatch.setattr(routing, "MAX_LAG_SECONDS", 0.5)
    await pair.pause()
    await write(routed)
    assert (await ask(routed, by_id, id=1)).on_replica
    await asyncio.sleep(1.2)
    assert await ask(routed, by_id, id=1) == Account(1, on_replica=False)
    await pair.resume()
    await until_on_replica(routed)


async def test_a_hanging_replica_delays_reads_by_a_second_and_fails_none(pair: Pair, routed: RoutedDatabase) -> None:
    """Breaks when its reads are not cancelled at the disconnect: they then wait for their full timeout."""
    pair.replica.freeze()
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(routed, by_id, id=number) for number in range(1, ACCOUNTS + 1)))
    assert time.monotonic() - began < 2.5
    assert not any(account.on_replica for account in answers)
    began = time.monotonic()
    await ask(routed, by_id, id=1)
    assert time.monotonic() - began < 0.5
    pair.replica.thaw()
    await until_on_replica(routed)


async def test_a_dead_replica_is_skipped_until_it_restarts(pair: Pair, routed: RoutedDatabase) -> None:
    pair.replica.stop(signal.SIGQUIT)
    for number in range(1, ACCOUNTS + 1):
        assert await ask(routed, by_id, id=number) == Account(0, on_replica=False)
    await asyncio.sleep(1.5)
    lsn, _ = await write(routed)
    pair.replica.start()
    await until_on_replica(routed)
    assert await ask(routed, by_id, lsn, id=1) == Account(1, on_replica=True)


async def test_the_lsn_of_a_replica_is_reset_when_it_restarts(pair: Pair, routed: RoutedDatabase) -> None:
    """Breaks when a new connection keeps the old LSN: a restarted replica may have replayed less than before."""
    for watcher in routed._monitors:
        watcher.cancel()
    (replica,) = routed.replicas
    assert isinstance(replica, Replica)
    assert replica.lsn > 0
    pair.replica.stop(signal.SIGQUIT)
    pair.replica.start()
    for _ in range(5):
        assert not await ask(routed, on_replica)
    assert replica.lsn == 0


async def test_a_database_serves_before_its_replica_is_up(pair: Pair) -> None:
    async with open_database(pair.primary.url, 1, 5, ["postgresql://restwell@127.0.0.1:1/none"]) as database:
        assert await ask(database, by_id, id=1) == Account(0, on_replica=False)
        assert (await database.connection_limit() or 0) > 10
