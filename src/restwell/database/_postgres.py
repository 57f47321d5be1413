"""The PostgreSQL backend, on asyncpg with prepared statements."""

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

from restwell.database._facade import (
    MIGRATE_HINT,
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    ForeignKeyViolation,
    MigrationInProgress,
    PoolStats,
    TransactionConflict,
    UniqueViolation,
    not_started,
)
from restwell.database._pool import Connection, Pool
from restwell.database._postgres_connect import CANNOT_CONNECT, Connector, reason
from restwell.database._query import Compiled, Query, query
from restwell.database._transaction import Transaction

log = structlog.get_logger("restwell.migrations")

CONNECT_SECONDS: Final = 3.0
WAIT_SECONDS: Final = 2.0
"""The longest wait for a pooled connection, and for a lock."""
CLOSE_SECONDS: Final = 10.0
MIGRATION_SECONDS: Final = 3_600.0
MIGRATION_LOCK_SECONDS: Final = 600.0
"""How long a migration waits for the migration lock."""
MIGRATION_POLL_SECONDS: Final = 0.1

_connection_limit: Final = query(
    "postgres.connection_limit",
    text("SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"),
    into=int,
)
_try_migration_lock: Final = query(
    "postgres.try_migration_lock",
    text("SELECT pg_try_advisory_lock(1919251316)"),  # an arbitrary number
    into=bool,
)

_PLACEHOLDER: Final = re.compile(r"\$(\d+)")

_CONNECTION_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # out of disk, memory or connections
    asyncpg.TargetServerAttributeNotMatched,  # during a failover, before a host is promoted
    asyncpg.ReadOnlySQLTransactionError,  # the former primary after a failover
)
_CONFLICT: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,  # a migration changed a type; asyncpg prepares the statement again
)
_BUSY: Final = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
_LOGIN_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class _ErrorTranslation:
    """Translates the driver's errors and reports failures to the pool. Other errors are bugs and pass through."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            if self._pool.breaker.failures:
                self._pool.breaker.succeeded()
        elif isinstance(error, asyncpg.UndefinedTableError):
            error.add_note(MIGRATE_HINT)
        elif isinstance(error, asyncpg.UniqueViolationError):
            raise UniqueViolation(error.constraint_name or "") from error
        elif isinstance(error, asyncpg.ForeignKeyViolationError):
            raise ForeignKeyViolation(error.constraint_name or "") from error
        elif isinstance(error, _CONFLICT):
            raise TransactionConflict from error
        elif isinstance(error, _BUSY):
            self._pool.statement_timeouts += isinstance(error, asyncpg.QueryCanceledError)
            raise DatabaseBusy from error
        elif isinstance(error, (*_CONNECTION_LOST, *_LOGIN_REFUSED)):
            self._report(error)
            raise DatabaseUnavailable from error
        # DataError, an argument of a wrong type, is an InterfaceError too. It is a bug.
        elif isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.DataError):
            raise DatabaseUnavailable from error

    def _report(self, error: BaseException) -> None:
        if getattr(error, "severity", None) != "ERROR":  # an ERROR is about the statement; the connection is healthy
            self._pool.record_failure(timed_out=isinstance(error, TimeoutError))
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            self._pool.drop_idle()


class PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Connection, errors: _ErrorTranslation) -> None:
        super().__init__()
        self._connection = connection
        self._errors = errors

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if self._deferred:
            await self.flush()
        with self._errors:
            rows: Sequence[Sequence[Any]] = await self._connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        if self._deferred:
            await self.flush()
        with self._errors:
            return _affected(await self._connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        if self._deferred:
            await self.flush()
        with self._errors:
            await self._connection.executemany(compiled.sql, parameters)

    async def _execute_batch(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        sql = _combined_sql(tuple(query for query, _ in statements))
        with self._errors:
            await self._connection.execute(sql, *chain.from_iterable(parameters for _, parameters in statements))

    async def run_script(self, statement: str) -> None:
        if self._deferred:
            await self.flush()
        with self._errors:
            await self._connection.execute(statement, timeout=MIGRATION_SECONDS)


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(
        self, url: str, pool_size: int, timeout_seconds: float, session_start: Callable[[], str] | None = None
    ) -> None:
        super().__init__()
        self._pool_size = pool_size
        # In this order: the server cancels the statement, the driver times out, the request times out.
        self._statement_seconds = timeout_seconds * 0.8
        self._response_seconds = timeout_seconds * 0.88
        self._wait_seconds = min(WAIT_SECONDS, timeout_seconds * 0.4)
        limits = {
            "statement_timeout": _milliseconds(self._statement_seconds),
            "lock_timeout": _milliseconds(self._wait_seconds),
        }
        connect_seconds = min(CONNECT_SECONDS, self._response_seconds)
        self._connector = Connector(url, connect_seconds, self._response_seconds, limits, session_start)
        self._pool: Pool | None = None
        self._errors: _ErrorTranslation | None = None
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
        self._pool, self._errors = pool, _ErrorTranslation(pool)

    async def close(self) -> None:
        await self.close_within(CLOSE_SECONDS)

    async def close_within(self, seconds: float) -> None:
        """Close every connection. Those in use are closed when they are released, or after ``seconds``."""
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
        pool, errors = self._open_pool()
        with errors:
            connection = await pool.acquire()
            try:
                rows: Sequence[Sequence[Any]] = await connection.fetch(compiled.sql, *parameters)
            except BaseException:
                pool.recover(connection)
                raise
        pool.release(connection)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        pool, errors = self._open_pool()
        with errors:
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
            await tx._execute_many(compiled, parameters)  # noqa: SLF001  # same package

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        pool, errors = self._open_pool()
        connection = await _begin(pool, errors)
        try:
            yield PostgresTransaction(connection, errors)
        except (asyncio.CancelledError, GeneratorExit):
            pool.recover(connection)  # in the background: a cancelled caller does not wait
            raise
        except BaseException:
            await _roll_back(pool, connection)
            raise
        commit = asyncio.create_task(_commit(pool, errors, connection))
        self._commits.add(commit)
        commit.add_done_callback(self._commit_done)
        await asyncio.shield(commit)  # a COMMIT that was sent is never cancelled

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        pool, errors = self._open_pool()
        with errors:
            connection = await pool.acquire()
        tx = PostgresTransaction(connection, errors)
        try:
            await tx.run_script(f"SET statement_timeout = 0; SET lock_timeout = '{_milliseconds(WAIT_SECONDS)}'")
            await _lock_migrations(tx)
            await tx.run_script("BEGIN")
            yield tx
            await tx.run_script("COMMIT")
        finally:
            connection.terminate()  # rolls back, releases the lock and drops the session settings
            pool.release(connection)

    def _open_pool(self) -> tuple[Pool, _ErrorTranslation]:
        if self._pool is None or self._errors is None:
            raise not_started()
        return self._pool, self._errors

    def _commit_done(self, commit: asyncio.Task[None]) -> None:
        self._commits.discard(commit)
        if not commit.cancelled():
            commit.exception()  # retrieves it, if the caller no longer waits


@lru_cache(maxsize=256)
def _combined_sql(queries: tuple[Query[Any], ...]) -> str:
    """Combine several writes into one statement with data-modifying CTEs, in reverse order.

    PostgreSQL then executes them in the given order, although it does not guarantee that. Only partitions on another
    server depend on it: their foreign keys are checked immediately (docs/partitioning.md).
    """
    written: list[str] = []
    count = 0
    for one in queries:
        compiled = one.compiled["postgresql"]
        written.append(_PLACEHOLDER.sub(partial(_renumbered, count), compiled.sql))
        count += len(compiled.parameters)
    first, *rest = written
    if not rest:
        return first
    return f"WITH {', '.join(f's{number} AS ({sql})' for number, sql in enumerate(reversed(rest)))} {first}"


def _renumbered(by: int, placeholder: re.Match[str]) -> str:
    return f"${int(placeholder[1]) + by}"


async def _lock_migrations(tx: Transaction) -> None:
    """Acquire the advisory lock of migrations. Raises MigrationInProgress after MIGRATION_LOCK_SECONDS.

    It polls, because a blocked statement holds a snapshot: CREATE INDEX CONCURRENTLY in the process that holds the lock
    would wait for it.
    """
    deadline: float | None = None
    while not await tx.one(_try_migration_lock):
        if deadline is None:
            log.warning("migration_waiting", on="the migration of another process", seconds=MIGRATION_LOCK_SECONDS)
            deadline = time.monotonic() + MIGRATION_LOCK_SECONDS
        if time.monotonic() > deadline:
            raise MigrationInProgress
        await asyncio.sleep(MIGRATION_POLL_SECONDS)


async def _begin(pool: Pool, errors: _ErrorTranslation) -> Connection:
    """Acquire a connection and begin a transaction.

    A lost connection is retried once: nothing has been executed yet.
    """
    for retry in (True, False):
        with errors:
            connection = await pool.acquire()
            try:
                await connection.execute("BEGIN")
            except BaseException as error:
                pool.recover(connection)
                if retry and isinstance(error, ConnectionError | asyncpg.PostgresConnectionError):
                    pool.drop_idle()
                    continue
                raise
            return connection
    raise AssertionError  # pragma: no cover  # the second attempt returns or raises


async def _commit(pool: Pool, errors: _ErrorTranslation, connection: Connection) -> None:
    with errors:
        try:
            tag = await connection.execute("COMMIT")
        except BaseException:
            pool.recover(connection)
            raise
    pool.release(connection)
    if tag != "COMMIT":
        raise RuntimeError("nothing was saved: a statement of the transaction failed, and its error was suppressed")


async def _roll_back(pool: Pool, connection: Connection) -> None:
    try:
        await connection.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pool.recover(connection)  # a closed connection is rolled back by the server
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
