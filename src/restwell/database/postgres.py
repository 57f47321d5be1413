"""PostgreSQL on asyncpg: prepared statements, one pool, no round trip that is not needed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from restwell.database.facade import Database, DatabaseBusy, DatabaseUnavailable, Transaction, UniqueViolation
from restwell.database.query import Compiled

CONNECT_SECONDS: Final = 3.0
POOL_WAIT_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 10.0
SERVER_SETTINGS: Final = {
    "application_name": "restwell",
    "timezone": "UTC",
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
}
_CONNECTION_LIMIT: Final = (
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
)
_MIGRATION_LOCK: Final = 0x72657374  # any number that all migrations of this database share

_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
)
_BUSY: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

Connection = Any  # asyncpg brings no types: a Connection, or the pool's proxy of one


class _Translated:
    """Turns the driver's errors into the kit's; what is left is a fault in the program."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if isinstance(error, asyncpg.UniqueViolationError):
            raise UniqueViolation(error.constraint_name or "") from error
        if isinstance(error, _BUSY):
            raise DatabaseBusy from error
        # A wrong type of argument, DataError, is an InterfaceError too, and the program's own fault.
        if isinstance(error, (*_LOST, asyncpg.InterfaceError)) and not isinstance(error, asyncpg.DataError):
            raise DatabaseUnavailable from error


_translated: Final = _Translated()  # a class, not a generator: it is entered three times for each query


async def _keep(_connection: Connection) -> None:
    """Nothing to reset: every transaction ends itself, and nothing else leaves state in a session."""


class PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        with _translated:
            rows: Sequence[Sequence[Any]] = await self._connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        with _translated:
            return _affected(await self._connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        with _translated:
            await self._connection.executemany(compiled.sql, parameters)

    async def run_script(self, statement: str) -> None:
        with _translated:
            await self._connection.execute(statement)


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(self, url: str, pool_size: int) -> None:
        super().__init__()
        self._url = url
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        if self._pool is not None:
            return
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._pool_size,
                timeout=CONNECT_SECONDS,
                reset=_keep,
                server_settings=SERVER_SETTINGS,
            )
        except (*_LOST, *_REFUSED, ValueError) as error:
            raise DatabaseUnavailable(f"PostgreSQL: {error or type(error).__name__}") from error

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(TimeoutError):  # it terminates what did not end in time
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)

    async def connection_limit(self) -> int | None:
        async with self._acquire() as connection:
            with _translated:
                limit: int = await connection.fetchval(_CONNECTION_LIMIT)
        return limit

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        async with self._acquire() as connection:
            with _translated:
                rows: Sequence[Sequence[Any]] = await connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        async with self._acquire() as connection:
            with _translated:
                return _affected(await connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        async with self.transaction() as tx:
            await tx._execute_many(compiled, parameters)  # noqa: SLF001  # its own sibling

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._acquire() as connection:
            transaction = connection.transaction()
            with _translated:
                await transaction.start()
            try:
                yield PostgresTransaction(connection)
            except BaseException:
                with suppress(*_LOST, asyncpg.InterfaceError):  # a dead connection has rolled back already
                    await transaction.rollback()
                raise
            with _translated:
                await transaction.commit()

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        async with self.transaction() as tx:
            await tx.run_script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
            await tx.run_script(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            yield tx

    def _acquire(self) -> "_Loan":
        if self._pool is None:
            raise DatabaseUnavailable
        return _Loan(self._pool)


class _Loan:
    """A connection of the pool for the length of a block."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        with _translated:
            try:
                self._connection = await self._pool.acquire(timeout=POOL_WAIT_SECONDS)
            except TimeoutError as error:
                if self._pool.get_size() == self._pool.get_max_size():
                    raise DatabaseBusy from error  # all are lent out; else the server did not let us in
                raise
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        with _translated:
            await self._pool.release(self._connection)


def _affected(tag: str) -> int:
    """The row count at the end of a command tag: ``UPDATE 3``."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0
