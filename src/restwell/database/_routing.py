"""Routes reads outside transactions to a replica that has replayed the caller's writes, otherwise to the primary.

The LSN of each replica is polled every POLL_SECONDS. A new connection to a replica resets it to unknown: a restarted
server may have replayed less than before.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import text

from restwell.database._consistency import MAX_LAG_SECONDS, MAX_LSN, record_lsn, required_lsn
from restwell.database._facade import Database, PoolStats
from restwell.database._pool import Connection
from restwell.database._postgres import PostgresDatabase
from restwell.database._query import Compiled, query
from restwell.database._transaction import Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable

log = structlog.get_logger("restwell.database")

POLL_SECONDS: Final = 0.1
RECONNECT_SECONDS: Final = 1.0
"""The delay before an unavailable replica is polled again."""
POLL_TIMEOUT_SECONDS: Final = 1.0
"""A replica that does not respond to a poll within this time is not used."""

# The insert LSN, not the flush LSN: it includes every commit with any setting of synchronous_commit.
_primary_lsn: Final = query(
    "replicas.primary_lsn", text("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"), into=int
)
_replica_lsn: Final = query(
    "replicas.replica_lsn",
    text(
        "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
        " - '0/0'::pg_lsn)::bigint"
    ),
    into=int,
)


class Replica(PostgresDatabase):
    """A server for reads. ``lsn`` is the position that it has replayed at least, or 0 if that is unknown.

    ``epoch`` counts new connections. An LSN of an earlier epoch is not valid.
    """

    def __init__(self, url: str, pool_size: int, timeout_seconds: float, name: str) -> None:
        super().__init__(url, pool_size, timeout_seconds)
        self.name = name
        self.lsn = 0
        self.epoch = 0
        self._poll_database = PostgresDatabase(url, 1, POLL_TIMEOUT_SECONDS)

    async def poll_lsn(self) -> int:
        """The replayed LSN, or 0 after a new connection. Raises DatabaseUnavailable."""
        await self._poll_database.start()
        await self.start()
        epoch = self.epoch
        lsn = await self._poll_database.one(_replica_lsn)
        return lsn if self.epoch == epoch else 0

    async def disconnect(self) -> None:
        """Close every connection immediately, with the reads that use them."""
        self.lsn = 0
        await self._poll_database.close_within(0)
        await self.close_within(0)

    async def _connect(self) -> Connection:
        connection = await super()._connect()
        self.lsn = 0
        self.epoch += 1
        return connection


class RoutedDatabase(Database):
    """A primary with replicas. ``primary`` is for reads that must see the writes of other clients."""

    dialect = "postgresql"

    def __init__(self, primary: PostgresDatabase, poll_database: PostgresDatabase, replicas: Sequence[Replica]) -> None:
        super().__init__()
        self._primary = primary
        primary.ambient_owner = self
        self._poll_database = poll_database
        self.replicas = list(replicas)
        self._round_robin = count()
        self._history: deque[tuple[float, int]] = deque()
        self._monitors: list[asyncio.Task[None]] = []

    def pool_stats(self) -> dict[str, PoolStats]:
        replicas = ((replica.name, stats) for replica in self.replicas for stats in replica.pool_stats().values())
        return self._primary.pool_stats() | dict(replicas)

    @property
    def primary(self) -> Database:
        return self._primary

    async def start(self) -> None:
        await self._primary.start()
        if not self._monitors:
            monitored = [self._monitor_primary(), *(self._monitor(replica) for replica in self.replicas)]
            self._monitors = [asyncio.create_task(one) for one in monitored]

    async def close(self) -> None:
        monitors, self._monitors = self._monitors, []
        for monitor in monitors:
            monitor.cancel()
        await asyncio.gather(*monitors, return_exceptions=True)
        for replica in self.replicas:
            await replica.disconnect()
        await self._poll_database.close()
        await self._primary.close()

    async def connection_limit(self) -> int | None:
        return await self._primary.connection_limit()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._primary._transaction() as tx:  # noqa: SLF001  # same package
            yield tx
        await self._record_write()

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        async with self._primary.migration() as tx:
            yield tx

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if not compiled.reads:
            rows = await self._primary._fetch(compiled, parameters)  # noqa: SLF001  # same package
            await self._record_write()
            return rows
        replica = self._choose_replica()
        if replica is not None:
            epoch = replica.epoch
            try:
                rows = await replica._fetch(compiled, parameters)  # noqa: SLF001  # as above
            except ServiceUnavailable as error:
                log.warning("replica_skipped", replica=replica.name, query=compiled.name, cause=repr(error.__cause__))
            else:
                if replica.epoch == epoch:
                    return rows
        return await self._primary._fetch(compiled, parameters)  # noqa: SLF001  # as above

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        changed = await self._primary._execute(compiled, parameters)  # noqa: SLF001  # as above
        await self._record_write()
        return changed

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        await self._primary._execute_many(compiled, parameters)  # noqa: SLF001  # as above
        await self._record_write()

    def _choose_replica(self) -> Replica | None:
        """The next eligible replica, in round-robin order."""
        lsn = required_lsn()
        if lsn is None:
            return None
        eligible = [replica for replica in self.replicas if replica.lsn and replica.lsn >= lsn]
        return eligible[next(self._round_robin) % len(eligible)] if eligible else None

    async def _record_write(self) -> None:
        if required_lsn() is None:
            return
        try:
            record_lsn(await self._primary.one(_primary_lsn))
        except ServiceUnavailable:
            record_lsn(MAX_LSN)  # the write has succeeded, so the caller must not get an error

    async def _monitor_primary(self) -> None:
        """Keep the primary's LSNs of the last MAX_LAG_SECONDS. While it is unavailable, the last LSN stays valid."""
        while True:
            try:
                await self._poll_database.start()
                self._history.append((time.monotonic(), await self._poll_database.one(_primary_lsn)))
            except (ServiceUnavailable, ConfigurationError, asyncpg.PostgresError):
                pass  # unavailable or in a failover; the monitor continues
            while len(self._history) > 1 and self._history[1][0] < time.monotonic() - MAX_LAG_SECONDS:
                self._history.popleft()
            await asyncio.sleep(POLL_SECONDS)

    async def _monitor(self, replica: Replica) -> None:
        is_eligible = False
        while True:
            try:
                lsn = await replica.poll_lsn()
                lagging = self._is_lagging(lsn)
            except (ServiceUnavailable, ConfigurationError, asyncpg.PostgresError) as error:
                eligible, cause, pause = False, repr(error.__cause__ or error), RECONNECT_SECONDS
                await replica.disconnect()
            else:
                eligible, cause, pause = not lagging, "lags", POLL_SECONDS
                replica.lsn = 0 if lagging else lsn
            if eligible != is_eligible:
                is_eligible = eligible
                log.warning(
                    "replica_available" if eligible else "replica_unavailable",
                    replica=replica.name,
                    cause="" if eligible else cause,
                )
            await asyncio.sleep(pause)

    def _is_lagging(self, lsn: int) -> bool:
        """Whether the replica is more than MAX_LAG_SECONDS behind the primary."""
        if not self._history:
            return False
        at, primary_lsn = self._history[0]
        return lsn < primary_lsn and at < time.monotonic() - MAX_LAG_SECONDS
