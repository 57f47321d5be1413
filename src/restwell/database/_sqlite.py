"""The SQLite backend, on apsw: WAL mode, one writer and READER_COUNT readers per process, each with its own thread."""

from __future__ import annotations  # apsw defines AsyncConnection for type checkers only

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import apsw
from sqlalchemy import text

from restwell.database._facade import (
    MIGRATE_HINT,
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    ForeignKeyViolation,
    PoolStats,
    UniqueViolation,
    not_started,
)
from restwell.database._query import Compiled, Query, query
from restwell.database._sqlite_backup import back_up
from restwell.database._sqlite_connect import BUSY_TIMEOUT_MS, configure
from restwell.database._transaction import Transaction
from restwell.errors import ConfigurationError

T = TypeVar("T")

READER_COUNT: Final = 2
BEGIN: Final = "BEGIN IMMEDIATE"
_VIOLATIONS: Final = {
    apsw.SQLITE_CONSTRAINT_FOREIGNKEY: ForeignKeyViolation,
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY: UniqueViolation,
    apsw.SQLITE_CONSTRAINT_UNIQUE: UniqueViolation,
}
_BUSY: Final = (apsw.BusyError, apsw.LockedError)
_UNAVAILABLE: Final = (apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.ConnectionClosedError)
_WAITS_FOR_ITSELF: Final = (
    "a write waits for the transaction of its own task, as SQLite has one writer: run it with that transaction"
    " (tx.run), or begin that with database.transaction(ambient=True), which everything in the block joins"
)


_broken_keys: Final = query(
    "sqlite.broken_keys", text('SELECT DISTINCT "table", parent FROM pragma_foreign_key_check'), into=tuple
)


class _ErrorTranslation:
    """Translates SQLite's errors. Other errors are bugs and pass through."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if violation := _VIOLATIONS.get(getattr(error, "extendedresult", 0)):  # missing from apsw's stubs
            raise violation(str(error).partition("failed: ")[2]) from error
        if isinstance(error, _BUSY):
            raise DatabaseBusy from error
        if isinstance(error, _UNAVAILABLE):
            raise DatabaseUnavailable from error
        if "no such table" in str(error):
            error.add_note(MIGRATE_HINT)


_errors: Final = _ErrorTranslation()


async def _in_thread(connection: apsw.AsyncConnection, call: Callable[[apsw.Connection], T]) -> T:
    """Run a synchronous call in the thread of the connection, with one thread switch for any number of steps."""
    with _errors:
        result: T = await connection.async_run(call, cast("apsw.Connection", connection))
        return result


def _fetch(sql: str, parameters: tuple[Any, ...]) -> Callable[[apsw.Connection], Sequence[Sequence[Any]]]:
    return lambda connection: connection.execute(sql, parameters).fetchall()


def _execute(sql: str, parameters: tuple[Any, ...] = ()) -> Callable[[apsw.Connection], int]:
    def call(connection: apsw.Connection) -> int:
        before = connection.total_changes()
        _exhaust(connection.execute(sql, parameters))
        return connection.changes() if connection.total_changes() != before else 0

    return call


def _execute_many(sql: str, parameters: Sequence[tuple[Any, ...]]) -> Callable[[apsw.Connection], None]:
    return lambda connection: _exhaust(connection.executemany(sql, parameters))


def _exhaust(cursor: apsw.Cursor) -> None:
    """Read all rows: a cursor stops executing at the first row, of RETURNING or a PRAGMA, until it is read."""
    for _ in cursor:
        pass


class SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, connection: apsw.AsyncConnection) -> None:
        super().__init__()
        self._connection = connection

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if self._deferred:
            await self.flush()
        return await _in_thread(self._connection, _fetch(compiled.sql, parameters))

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        if self._deferred:
            await self.flush()
        return await _in_thread(self._connection, _execute(compiled.sql, parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        if self._deferred:
            await self.flush()
        await _in_thread(self._connection, _execute_many(compiled.sql, parameters))

    async def _execute_batch(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        writes = [_execute(query.compiled["sqlite"].sql, parameters) for query, parameters in statements]
        await _in_thread(self._connection, lambda connection: [write(connection) for write in writes])

    async def run_script(self, statement: str) -> None:
        if self._deferred:
            await self.flush()
        await _in_thread(self._connection, _execute(statement))


class SqliteDatabase(Database):
    """A SQLite file in WAL mode. One writer at a time; reads do not wait for it."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._write_lock = asyncio.Lock()
        self._waiting = self._waits = self._wait_timeouts = 0
        self._wait_total = 0.0
        self._transaction_ends: set[asyncio.Task[Any]] = set()
        self._writing_task: asyncio.Task[Any] | None = None
        self._writer: apsw.AsyncConnection | None = None
        self._version_connection: apsw.Connection | None = None
        self._readers: list[apsw.AsyncConnection] = []
        self._idle_readers: asyncio.LifoQueue[apsw.AsyncConnection] = asyncio.LifoQueue()

    async def start(self) -> None:
        if self._writer is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _errors:
                self._writer = await self._connect()
                for _ in range(READER_COUNT):
                    self._readers.append(await self._connect())
                self._version_connection = apsw.Connection(os.fspath(self._path))
        except (OSError, DatabaseUnavailable, DatabaseBusy, apsw.Error) as error:
            await self.close()
            reason = error.__cause__ or error
            hint = "DATABASE_URL must name a database file, or a new one in a folder that this user can write to"
            raise DatabaseUnavailable(f"SQLite cannot open {os.fspath(self._path)}: {reason}; {hint}") from error
        for reader in self._readers:
            self._idle_readers.put_nowait(reader)

    async def close(self) -> None:
        readers, self._readers = self._readers, []
        writer, self._writer = self._writer, None
        version_connection, self._version_connection = self._version_connection, None
        if version_connection is not None:
            version_connection.close()
        self._idle_readers = asyncio.LifoQueue()
        if self._transaction_ends:
            await asyncio.wait(self._transaction_ends)
        for connection in (*readers, *([writer] if writer else [])):
            await connection.aclose()

    async def _connect(self) -> apsw.AsyncConnection:
        connection = await apsw.Connection.as_async(os.fspath(self._path))
        try:
            await _in_thread(connection, configure)
        except BaseException:
            await connection.aclose()  # otherwise its thread would keep the process alive
            raise
        return connection

    async def connection_limit(self) -> int | None:
        return None

    def data_version(self) -> int:
        """SQLite's ``PRAGMA data_version``: it changes after each commit to the file, by this or any other process.

        Takes about three microseconds and never blocks, so it is not a coroutine. Raises DatabaseUnavailable before
        ``start``.
        """
        if self._version_connection is None:
            raise not_started()
        # This connection never writes: its own commits would not change the value.
        version: int = self._version_connection.execute("PRAGMA data_version").get
        return version

    async def backup(self, target: Path) -> None:
        """Copy the database into a new file while it is in use.

        The copy is a consistent snapshot. It is checked for integrity and then renamed to ``target``, atomically and
        durably. Raises DatabaseUnavailable if it cannot be written.
        """
        with _errors:
            await asyncio.to_thread(back_up, self._path, target, configure)

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        return await (self._read if compiled.reads else self._write)(_fetch(compiled.sql, parameters))

    async def _fetch_each(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        return await self._read(lambda reader: [_fetch(compiled.sql, each)(reader) for each in parameters])

    async def _read(self, call: Callable[[apsw.Connection], T]) -> T:
        if not self._readers:
            raise not_started()
        idle = self._idle_readers
        try:
            reader = idle.get_nowait()
        except asyncio.QueueEmpty:
            reader = await _with_timeout(BUSY_TIMEOUT_MS, idle.get())
        try:
            return await _in_thread(reader, call)
        finally:
            idle.put_nowait(reader)

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        return await self._write(_execute(compiled.sql, parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        await self._write(_execute_many(compiled.sql, parameters))

    async def _write(self, write: Callable[[apsw.Connection], T]) -> T:
        """Begin, write and commit in one call of the thread, so that a blocked event loop does not delay other
        writers.
        """

        def transaction(connection: apsw.Connection) -> T:
            connection.execute(BEGIN)
            try:
                result = write(connection)
            except BaseException:
                _roll_back(connection)
                raise
            _commit(connection)
            return result

        return await asyncio.shield(self._finish_transaction(await self._acquire_writer(), transaction))

    async def _acquire_writer(self) -> apsw.AsyncConnection:
        """Acquire the only connection that writes. ``_finish_transaction`` releases it."""
        if self._write_lock.locked():
            if self._writing_task is asyncio.current_task():
                raise RuntimeError(_WAITS_FOR_ITSELF)
            await self._wait_for_writer()
        else:
            await _with_timeout(BUSY_TIMEOUT_MS, self._write_lock.acquire())
        if self._writer is None:
            self._write_lock.release()
            raise not_started()
        return self._writer

    async def _wait_for_writer(self) -> None:
        self._waiting += 1
        self._waits += 1
        began = time.monotonic()
        try:
            await _with_timeout(BUSY_TIMEOUT_MS, self._write_lock.acquire())
        except DatabaseBusy:
            self._wait_timeouts += 1
            raise
        finally:
            self._waiting -= 1
            self._wait_total += time.monotonic() - began

    def pool_stats(self) -> dict[str, PoolStats]:
        """The statistics of the writer connection."""
        is_open = int(self._writer is not None)
        return {
            "writer": PoolStats(
                size=1,
                open=is_open,
                in_use=int(self._write_lock.locked()),
                waiting=self._waiting,
                waits=self._waits,
                wait_seconds=self._wait_total,
                wait_timeouts=self._wait_timeouts,
                statement_timeouts=0,
                failures=0,
                breaker_open=False,
            )
        }

    @asynccontextmanager
    async def _transaction(self, before: str = "", after: str = "") -> AsyncIterator[Transaction]:
        writer = await self._acquire_writer()
        self._writing_task = asyncio.current_task()
        try:
            await _in_thread(writer, _execute(before + BEGIN))
            yield SqliteTransaction(writer)
        except BaseException as error:
            end = self._finish_transaction(writer, _then(_roll_back, after))
            if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):  # a cancelled caller does not wait
                await asyncio.shield(end)
            raise
        # Shielded: a cancelled caller does not interrupt a commit.
        await asyncio.shield(self._finish_transaction(writer, _then(_commit, after)))

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        """Foreign keys are checked at its end: to change a table is to drop it, and to create it again."""
        async with self._transaction("PRAGMA foreign_keys=OFF;", "PRAGMA foreign_keys=ON") as tx:
            yield tx
            if broken := await tx.all(_broken_keys):
                names = ", ".join(f"{table} to {target}" for table, target in broken)
                raise ConfigurationError([f"rows have a foreign key without its row: {names}; correct them first"])

    def _finish_transaction(
        self, writer: apsw.AsyncConnection, finish: Callable[[apsw.Connection], T]
    ) -> asyncio.Task[T]:
        """End the transaction in a task, then release the writer."""
        self._writing_task = None
        end = asyncio.create_task(_in_thread(writer, finish))
        self._transaction_ends.add(end)
        end.add_done_callback(self._transaction_finished)
        return end

    def _transaction_finished(self, end: asyncio.Task[Any]) -> None:
        self._transaction_ends.discard(end)
        self._write_lock.release()
        if not end.cancelled():
            end.exception()  # retrieves it, if the caller no longer waits


async def _with_timeout(milliseconds: int, waiting: Coroutine[Any, Any, T]) -> T:
    try:
        # wait_for creates a task, and before 3.12 may swallow a cancellation.
        async with asyncio.timeout(milliseconds / 1_000):
            return await waiting
    except TimeoutError:
        raise DatabaseBusy from None


def _then(end: Callable[[apsw.Connection], None], sql: str) -> Callable[[apsw.Connection], None]:
    def call(writer: apsw.Connection) -> None:
        try:
            end(writer)
        finally:
            writer.execute(sql)

    return call if sql else end


def _roll_back(writer: apsw.Connection) -> None:
    if writer.in_transaction:
        writer.execute("ROLLBACK")


def _commit(writer: apsw.Connection) -> None:
    try:
        writer.execute("COMMIT")
    except apsw.Error:
        _roll_back(writer)
        raise
