"""PostgreSQL on asyncpg: prepared statements, one pool, no round trip that is not needed."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import text

from restwell.database.facade import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    MigrationInProgress,
    PoolStats,
    Transaction,
    TransactionConflict,
    UniqueViolation,
)
from restwell.database.pool import Connection, Pool
from restwell.database.postgres_connect import CANNOT_CONNECT, Connector, reason
from restwell.database.query import Compiled, Query, query

log = structlog.get_logger("restwell.migrations")

CONNECT_SECONDS: Final = 3.0
WAIT_SECONDS: Final = 2.0
"""The longest wait for a connection of the pool, and for a lock."""
CLOSE_SECONDS: Final = 10.0
MIGRATION_SECONDS: Final = 3_600.0
MIGRATION_TURN_SECONDS: Final = 600.0
"""How long a migration waits for that of another process."""
MIGRATION_POLL_SECONDS: Final = 0.1

_connection_limit: Final = query(
    "postgres.connection_limit",
    text("SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"),
    into=int,
)
_try_migration_lock: Final = query(
    "postgres.try_migration_lock",
    text("SELECT pg_try_advisory_lock(1919251316)"),  # any number that all migrations of this database share
    into=bool,
)

_PLACEHOLDER: Final = re.compile(r"\$(\d+)")

_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # no disk, no memory, no connection left
    asyncpg.TargetServerAttributeNotMatched,  # no primary among the hosts, until one is promoted
    asyncpg.ReadOnlySQLTransactionError,  # it was the primary once
)
_CONFLICT: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,  # a migration changed a type under a prepared statement; it is prepared anew
)
_BUSY: Final = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class _Translated:
    """Turns the driver's errors into the kit's, and tells the pool how the server does; what is left is a fault in the program."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            if self._pool.breaker.failures:
                self._pool.breaker.succeeded()
        elif isinstance(error, asyncpg.UniqueViolationError):
            raise UniqueViolation(error.constraint_name or "") from error
        elif isinstance(error, _CONFLICT):
            raise TransactionConflict from error
        elif isinstance(error, _BUSY):
            raise DatabaseBusy from error
        elif isinstance(error, (*_LOST, *_REFUSED)):
            if getattr(error, "severity", None) != "ERROR":  # of a statement, on a connection that is well
                self._pool.failed(in_time=not isinstance(error, TimeoutError))
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                self._pool.drop_idle()
            raise DatabaseUnavailable from error
        # A wrong type of argument, DataError, is an InterfaceError too, and the program's own fault.
        elif isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.DataError):
            raise DatabaseUnavailable from error


class PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Connection, translated: _Translated) -> None:
        super().__init__()
        self._connection = connection
        self._translated = translated

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if self._deferred:
            await self.flush()
        with self._translated:
            rows: Sequence[Sequence[Any]] = await self._connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        if self._deferred:
            await self.flush()
        with self._translated:
            return _affected(await self._connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        if self._deferred:
            await self.flush()
        with self._translated:
            await self._connection.executemany(compiled.sql, parameters)

    async def _execute_together(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        sql = _together(tuple(query for query, _ in statements))
        with self._translated:
            await self._connection.execute(sql, *chain.from_iterable(parameters for _, parameters in statements))

    async def run_script(self, statement: str) -> None:
        if self._deferred:
            await self.flush()
        with self._translated:
            await self._connection.execute(statement, timeout=MIGRATION_SECONDS)


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(
        self, url: str, pool_size: int, timeout_seconds: float, session_start: Callable[[], str] | None = None
    ) -> None:
        super().__init__()
        self._pool_size = pool_size
        # The server ends a statement first, then we give up on a server that does not, and then the request ends.
        self._statement_seconds = timeout_seconds * 0.8
        self._answer_seconds = timeout_seconds * 0.88
        self._wait_seconds = min(WAIT_SECONDS, timeout_seconds * 0.4)
        limits = {
            "statement_timeout": _milliseconds(self._statement_seconds),
            "lock_timeout": _milliseconds(self._wait_seconds),
        }
        connect_seconds = min(CONNECT_SECONDS, self._answer_seconds)
        self._connector = Connector(url, connect_seconds, self._answer_seconds, limits, session_start)
        self._pool: Pool | None = None
        self._translated: _Translated | None = None
        self._commits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        if self._pool is not None:
            return
        pool = Pool(self._connect, self._pool_size, self._wait_seconds, "PostgreSQL")
        try:
            connection = await pool.acquire()
            await self._connector.check(connection)
        except BaseException as error:
            await pool.close(0)
            if isinstance(error, CANNOT_CONNECT):
                raise DatabaseUnavailable(f"PostgreSQL at {self._connector.where}: {reason(error)}") from error
            raise
        pool.release(connection)
        self._pool, self._translated = pool, _Translated(pool)

    async def close(self) -> None:
        await self.close_within(CLOSE_SECONDS)

    async def close_within(self, seconds: float) -> None:
        """End every connection; those in use when they come back, or when the time is over."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(seconds)

    def pool_stats(self) -> dict[str, PoolStats]:
        return {"primary": self._pool.stats()} if self._pool is not None else {}

    async def connection_limit(self) -> int | None:
        async with self._transaction() as tx:
            limit: int = await tx.one(_connection_limit)
        return limit

    async def _connect(self) -> Connection:
        return await self._connector.connect()

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        pool, translated = self._ready()
        with translated:
            connection = await pool.acquire()
            try:
                rows: Sequence[Sequence[Any]] = await connection.fetch(compiled.sql, *parameters)
            except BaseException:
                pool.recover(connection)
                raise
        pool.release(connection)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        pool, translated = self._ready()
        with translated:
            connection = await pool.acquire()
            try:
                tag = await connection.execute(compiled.sql, *parameters)
            except BaseException:
                pool.recover(connection)
                raise
        pool.release(connection)
        return _affected(tag)

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        async with self._transaction() as tx:
            await tx._execute_many(compiled, parameters)  # noqa: SLF001  # its own sibling

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        pool, translated = self._ready()
        connection = await _begin(pool, translated)
        try:
            yield PostgresTransaction(connection, translated)
        except (asyncio.CancelledError, GeneratorExit):
            pool.recover(connection)  # in the background: whoever gives up has no time left
            raise
        except BaseException:
            await _roll_back(pool, connection)
            raise
        commit = asyncio.create_task(_commit(pool, translated, connection))
        self._commits.add(commit)
        commit.add_done_callback(self._committed)
        await asyncio.shield(commit)  # a COMMIT that was sent is never cancelled, whoever hangs up

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        pool, translated = self._ready()
        with translated:
            connection = await pool.acquire()
        tx = PostgresTransaction(connection, translated)
        try:
            await tx.run_script(f"SET statement_timeout = 0; SET lock_timeout = '{_milliseconds(WAIT_SECONDS)}'")
            await _take_turn(tx)
            await tx.run_script("BEGIN")
            yield tx
            await tx.run_script("COMMIT")
        finally:
            connection.terminate()  # which rolls back, gives the lock back and forgets the settings
            pool.release(connection)

    def _ready(self) -> tuple[Pool, _Translated]:
        if self._pool is None or self._translated is None:
            raise DatabaseUnavailable
        return self._pool, self._translated

    def _committed(self, commit: asyncio.Task[None]) -> None:
        self._commits.discard(commit)
        if not commit.cancelled():
            commit.exception()  # if nobody waits for it any more, it has been seen here


@lru_cache(maxsize=256)
def _together(queries: tuple[Query[Any], ...]) -> str:
    """One statement that executes all of these writes: each but the first stands before it in WITH, the last one first.

    So PostgreSQL runs them in their order, though it promises none. Only partitions on another server need it: their foreign keys are checked
    at once (docs/partitioning.md).
    """
    written: list[str] = []
    count = 0
    for one in queries:
        compiled = one.compiled["postgresql"]
        written.append(_PLACEHOLDER.sub(partial(_moved, count), compiled.sql))
        count += len(compiled.parameters)
    first, *rest = written
    if not rest:
        return first
    return f"WITH {', '.join(f's{number} AS ({sql})' for number, sql in enumerate(reversed(rest)))} {first}"


def _moved(by: int, placeholder: re.Match[str]) -> str:
    return f"${int(placeholder[1]) + by}"


async def _take_turn(tx: Transaction) -> None:
    """Hold the lock that every migration holds; raises MigrationInProgress if that takes too long.

    Asked again and again rather than waited for: a statement that waits keeps a snapshot, and CREATE INDEX CONCURRENTLY in the
    migration that holds the lock would wait for that.
    """
    deadline: float | None = None
    while not await tx.one(_try_migration_lock):
        if deadline is None:
            log.warning("migration_waiting", on="another process, which migrates", seconds=MIGRATION_TURN_SECONDS)
            deadline = time.monotonic() + MIGRATION_TURN_SECONDS
        if time.monotonic() > deadline:
            raise MigrationInProgress
        await asyncio.sleep(MIGRATION_POLL_SECONDS)


async def _begin(pool: Pool, translated: _Translated) -> Connection:
    """A connection in a transaction. One that turns out to be lost costs a second try, for nothing has been asked yet."""
    for again in (True, False):
        with translated:
            connection = await pool.acquire()
            try:
                await connection.execute("BEGIN")
            except BaseException as error:
                pool.recover(connection)
                if again and isinstance(error, ConnectionError | asyncpg.PostgresConnectionError):
                    pool.drop_idle()
                    continue
                raise
            return connection
    raise AssertionError  # pragma: no cover  # the second try returns or raises


async def _commit(pool: Pool, translated: _Translated, connection: Connection) -> None:
    with translated:
        try:
            tag = await connection.execute("COMMIT")
        except BaseException:
            pool.recover(connection)
            raise
    pool.release(connection)
    if tag != "COMMIT":
        raise RuntimeError("nothing was saved: a statement of the transaction failed, and its error was not passed on")


async def _roll_back(pool: Pool, connection: Connection) -> None:
    try:
        await connection.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pool.recover(connection)  # a dead connection has rolled back already
    except BaseException:
        pool.recover(connection)
        raise
    else:
        pool.release(connection)


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1_000)}ms"


def _affected(tag: str) -> int:
    """The row count at the end of a command tag: ``UPDATE 3``."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0
