"""PostgreSQL on asyncpg: prepared statements, one pool, no round trip that is not needed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
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


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into the kit's; what is left is a fault in the program."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise UniqueViolation(error.constraint_name or "") from error
    except _BUSY as error:
        raise DatabaseBusy from error
    except _LOST as error:
        raise DatabaseUnavailable from error
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):  # a wrong argument type: asyncpg's DataError is an InterfaceError too
            raise
        raise DatabaseUnavailable from error


async def _keep(_connection: Connection) -> None:
    """Nothing to reset: every transaction ends itself, and nothing else leaves state in a session."""


class PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        with _translated():
            rows: Sequence[Sequence[Any]] = await self._connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        with _translated():
            return _affected(await self._connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        with _translated():
            await self._connection.executemany(compiled.sql, parameters)

    async def run_script(self, statement: str) -> None:
        with _translated():
            await self._connection.execute(statement)


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(self, url: str, pool_size: int) -> None:
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

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        async with self._acquire() as connection:
            with _translated():
                rows: Sequence[Sequence[Any]] = await connection.fetch(compiled.sql, *parameters)
        return rows

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        async with self._acquire() as connection:
            with _translated():
                return _affected(await connection.execute(compiled.sql, *parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        async with self.transaction() as tx:
            await tx._execute_many(compiled, parameters)  # noqa: SLF001  # its own sibling

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._acquire() as connection:
            transaction = connection.transaction()
            with _translated():
                await transaction.start()
            try:
                yield PostgresTransaction(connection)
            except BaseException:
                with suppress(*_LOST, asyncpg.InterfaceError):  # a dead connection has rolled back already
                    await transaction.rollback()
                raise
            with _translated():
                await transaction.commit()

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        async with self.transaction() as tx:
            await tx.run_script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
            await tx.run_script(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            yield tx

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[Connection]:
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable
        with _translated():
            connection = await pool.acquire(timeout=POOL_WAIT_SECONDS)
        try:
            yield connection
        finally:
            with _translated():
                await pool.release(connection)


def _affected(tag: str) -> int:
    """The row count at the end of a command tag: ``UPDATE 3``."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0
