"""Reads on replicas: outside transactions, a read goes to one that has all its caller has written, else to the primary.

How far a replica has come is asked ten times a second. The answer holds until one of its connections is replaced: a server
that restarts may come back with less than it had, and then counts as empty until it has been asked again.
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

from restwell.database.consistency import MAX_LAG_SECONDS, MAX_LSN, record_lsn, required_lsn
from restwell.database.facade import Database, PoolStats, Transaction
from restwell.database.pool import Connection
from restwell.database.postgres import PostgresDatabase
from restwell.database.query import Compiled, query
from restwell.errors import ConfigurationError, ServiceUnavailable

log = structlog.get_logger("restwell.database")

ASK_SECONDS: Final = 0.1
AWAY_SECONDS: Final = 1.0
"""How long one that is away is left alone."""
ANSWER_SECONDS: Final = 1.0
"""A replica that does not say within this time how far it has come is not read from."""

# Not the flushed position but the inserted: it is never before a commit, whatever synchronous_commit says.
_written: Final = query(
    "replicas.written", text("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"), into=int
)
_replayed: Final = query(
    "replicas.replayed",
    text(
        "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
        " - '0/0'::pg_lsn)::bigint"
    ),
    into=int,
)


class Replica(PostgresDatabase):
    """A server that may be read from. ``position`` is how far it has come at least; 0 when that is not known.

    ``epoch`` grows with each new connection: what was known before it need not be true of the server behind it.
    """

    def __init__(self, url: str, pool_size: int, timeout_seconds: float, name: str) -> None:
        super().__init__(url, pool_size, timeout_seconds)
        self.name = name
        self.position = 0
        self.epoch = 0
        self._asked = PostgresDatabase(url, 1, ANSWER_SECONDS)

    async def ask(self) -> int:
        """How far it has come, or 0 if it has just been connected to again. Raises DatabaseUnavailable."""
        await self._asked.start()
        await self.start()
        epoch = self.epoch
        position = await self._asked.one(_replayed)
        return position if self.epoch == epoch else 0

    async def leave(self) -> None:
        """Read from it no longer, and end every read that waits for it."""
        self.position = 0
        await self._asked.close_within(0)
        await self.close_within(0)

    async def _connect(self) -> Connection:
        connection = await super()._connect()
        self.position = 0
        self.epoch += 1
        return connection


class RoutedDatabase(Database):
    """A primary and its replicas. Whoever must see what others have just written reads from ``primary``."""

    dialect = "postgresql"

    def __init__(self, primary: PostgresDatabase, asked: PostgresDatabase, replicas: Sequence[Replica]) -> None:
        super().__init__()
        self._primary = primary
        self._asked = asked
        self.replicas = list(replicas)
        self._turn = count()
        self._history: deque[tuple[float, int]] = deque()
        self._watchers: list[asyncio.Task[None]] = []

    def pool_stats(self) -> dict[str, PoolStats]:
        replicas = ((replica.name, figures) for replica in self.replicas for figures in replica.pool_stats().values())
        return self._primary.pool_stats() | dict(replicas)

    @property
    def primary(self) -> Database:
        return self._primary

    async def start(self) -> None:
        await self._primary.start()
        if not self._watchers:
            watched = [self._watch_primary(), *(self._watch(replica) for replica in self.replicas)]
            self._watchers = [asyncio.create_task(one) for one in watched]

    async def close(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for replica in self.replicas:
            await replica.leave()
        await self._asked.close()
        await self._primary.close()

    async def connection_limit(self) -> int | None:
        return await self._primary.connection_limit()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._primary._transaction() as tx:  # noqa: SLF001  # its own kind
            yield tx
        await self._note_write()

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        async with self._primary.migration() as tx:
            yield tx

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if not compiled.reads:
            rows = await self._primary._fetch(compiled, parameters)  # noqa: SLF001  # its own kind
            await self._note_write()
            return rows
        replica = self._choose()
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
        await self._note_write()
        return changed

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        await self._primary._execute_many(compiled, parameters)  # noqa: SLF001  # as above
        await self._note_write()

    def _choose(self) -> Replica | None:
        """The next in turn of those that have come far enough."""
        position = required_lsn()
        if position is None:
            return None
        fit = [replica for replica in self.replicas if replica.position and replica.position >= position]
        return fit[next(self._turn) % len(fit)] if fit else None

    async def _note_write(self) -> None:
        if required_lsn() is None:
            return
        try:
            record_lsn(await self._primary.one(_written))
        except ServiceUnavailable:
            record_lsn(MAX_LSN)  # it is written, and that is what the caller must hear

    async def _watch_primary(self) -> None:
        """Keep what the primary had written MAX_LAG_SECONDS ago, and since. While it is away, its last is the measure."""
        while True:
            try:
                await self._asked.start()
                self._history.append((time.monotonic(), await self._asked.one(_written)))
            except (ServiceUnavailable, ConfigurationError, asyncpg.PostgresError):
                pass  # away, or for a moment no primary: the watch itself must never end
            while len(self._history) > 1 and self._history[1][0] < time.monotonic() - MAX_LAG_SECONDS:
                self._history.popleft()
            await asyncio.sleep(ASK_SECONDS)

    async def _watch(self, replica: Replica) -> None:
        serves = False
        while True:
            try:
                position = await replica.ask()
                behind = self._lags(position)
            except (ServiceUnavailable, ConfigurationError, asyncpg.PostgresError) as error:
                fit, why, pause = False, repr(error.__cause__ or error), AWAY_SECONDS
                await replica.leave()
            else:
                fit, why, pause = not behind, "lags", ASK_SECONDS
                replica.position = 0 if behind else position
            if fit != serves:
                serves = fit
                log.warning(
                    "replica_available" if fit else "replica_unavailable", replica=replica.name, why="" if fit else why
                )
            await asyncio.sleep(pause)

    def _lags(self, position: int) -> bool:
        """Whether it lacks what the primary had MAX_LAG_SECONDS ago."""
        if not self._history:
            return False
        at, written = self._history[0]
        return position < written and at < time.monotonic() - MAX_LAG_SECONDS
