"""SQLite on apsw, which brings its own current SQLite: WAL, one writer and a few readers a process, each with a thread."""

from __future__ import annotations  # apsw names AsyncConnection for type checkers only

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import apsw

from restwell.database.facade import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    PoolStats,
    Transaction,
    UniqueViolation,
)
from restwell.database.query import Compiled, Query

T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 5_000
READERS: Final = 2
BEGIN: Final = "BEGIN IMMEDIATE"
PRAGMAS: Final = f"""
PRAGMA busy_timeout = {BUSY_TIMEOUT_MS};
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -32768;
"""
_UNIQUE: Final = frozenset({apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY})
_BUSY: Final = (apsw.BusyError, apsw.LockedError)
_UNAVAILABLE: Final = (
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.ConnectionClosedError,
)


class _Translated:
    """Turns SQLite's errors into the kit's; what is left is a fault in the program."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if isinstance(error, apsw.ConstraintError) and error.extendedresult in _UNIQUE:  # type: ignore[attr-defined]  # missing from apsw's stubs
            raise UniqueViolation(str(error).partition("failed: ")[2]) from error
        if isinstance(error, _BUSY):
            raise DatabaseBusy from error
        if isinstance(error, _UNAVAILABLE):
            raise DatabaseUnavailable from error


_translated: Final = _Translated()


async def _in_thread(connection: apsw.AsyncConnection, call: Callable[[apsw.Connection], T]) -> T:
    """Run a call in the connection's own thread, where it is synchronous: one hop for any number of steps."""
    with _translated:
        result: T = await connection.async_run(call, cast("apsw.Connection", connection))
        return result


def _fetch(sql: str, parameters: tuple[Any, ...]) -> Callable[[apsw.Connection], Sequence[Sequence[Any]]]:
    return lambda connection: connection.execute(sql, parameters).fetchall()


def _execute(sql: str, parameters: tuple[Any, ...] = ()) -> Callable[[apsw.Connection], int]:
    def call(connection: apsw.Connection) -> int:
        before = connection.total_changes()
        _finish(connection.execute(sql, parameters))
        return connection.changes() if connection.total_changes() != before else 0

    return call


def _execute_many(sql: str, parameters: Sequence[tuple[Any, ...]]) -> Callable[[apsw.Connection], None]:
    return lambda connection: _finish(connection.executemany(sql, parameters))


def _finish(cursor: apsw.Cursor) -> None:
    """Run every statement to its end: a cursor stops at the first row, of RETURNING or a PRAGMA, until it is read."""
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

    async def _execute_together(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        writes = [_execute(query.compiled["sqlite"].sql, parameters) for query, parameters in statements]
        await _in_thread(self._connection, lambda connection: [write(connection) for write in writes])

    async def run_script(self, statement: str) -> None:
        if self._deferred:
            await self.flush()
        await _in_thread(self._connection, _execute(statement))


class SqliteDatabase(Database):
    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._writing = asyncio.Lock()
        self._waiting = self._waits = self._wait_timeouts = 0
        self._waited = 0.0
        self._endings: set[asyncio.Task[Any]] = set()
        self._writer: apsw.AsyncConnection | None = None
        self._watcher: apsw.Connection | None = None
        self._readers: list[apsw.AsyncConnection] = []
        self._free: asyncio.LifoQueue[apsw.AsyncConnection] = asyncio.LifoQueue()

    async def start(self) -> None:
        if self._writer is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _translated:
                self._writer = await self._connect()
                for _ in range(READERS):
                    self._readers.append(await self._connect())
                self._watcher = apsw.Connection(os.fspath(self._path))
        except (OSError, DatabaseUnavailable, DatabaseBusy, apsw.Error) as error:
            await self.close()
            reason = error.__cause__ or error
            raise DatabaseUnavailable(f"SQLite cannot open {os.fspath(self._path)}: {reason}") from error
        for reader in self._readers:
            self._free.put_nowait(reader)

    async def close(self) -> None:
        readers, self._readers = self._readers, []
        writer, self._writer = self._writer, None
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
        self._free = asyncio.LifoQueue()
        if self._endings:
            await asyncio.wait(self._endings)
        for connection in (*readers, *([writer] if writer else [])):
            await connection.aclose()

    async def _connect(self) -> apsw.AsyncConnection:
        connection = await apsw.Connection.as_async(os.fspath(self._path))
        try:
            await _in_thread(connection, _configure)
        except BaseException:
            await connection.aclose()  # else its thread would keep the process alive
            raise
        return connection

    async def connection_limit(self) -> int | None:
        return None

    def data_version(self) -> int:
        """A number that is another after each commit to the file, by this process or any other; equal numbers mean equal data.

        Takes three microseconds and waits for nobody, so it is no coroutine. Raises DatabaseUnavailable when not started.
        """
        if self._watcher is None:
            raise DatabaseUnavailable
        version: int = self._watcher.execute("PRAGMA data_version").get  # of a connection that never writes itself
        return version

    async def backup(self, target: Path) -> None:
        """Copy the database as it is now into a new file, while every process reads and writes on.

        The copy is one consistent moment, and appears under its name only when it is whole and has been checked. Raises
        DatabaseUnavailable when it cannot be written.
        """
        draft = target.with_name(f".{target.name}.part")
        await asyncio.to_thread(draft.unlink, missing_ok=True)
        try:
            connection = await self._connect()
            try:
                await _in_thread(connection, _execute("VACUUM INTO ?", (os.fspath(draft),)))
            finally:
                await connection.aclose()
            await asyncio.to_thread(_verify, draft)
            await asyncio.to_thread(draft.rename, target)
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        if not compiled.reads:
            return await self._write(_fetch(compiled.sql, parameters))
        if not self._readers:
            raise DatabaseUnavailable
        free = self._free
        try:
            reader = free.get_nowait()
        except asyncio.QueueEmpty:
            reader = await _within(BUSY_TIMEOUT_MS, free.get())
        try:
            return await _in_thread(reader, _fetch(compiled.sql, parameters))
        finally:
            free.put_nowait(reader)

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        return await self._write(_execute(compiled.sql, parameters))

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        await self._write(_execute_many(compiled.sql, parameters))

    async def _write(self, write: Callable[[apsw.Connection], T]) -> T:
        """Begin, write and commit in one hop: an event loop that does not go round meanwhile keeps no other writer waiting."""

        def transaction(connection: apsw.Connection) -> T:
            connection.execute(BEGIN)
            try:
                result = write(connection)
            except BaseException:
                _roll_back(connection)
                raise
            _commit(connection)
            return result

        return await asyncio.shield(self._end(await self._next_writer(), transaction))

    async def _next_writer(self) -> apsw.AsyncConnection:
        """Wait for the one connection that writes. Whoever has it gives it back with ``_end``."""
        if self._writing.locked():
            await self._wait_for_writer()
        else:
            await _within(BUSY_TIMEOUT_MS, self._writing.acquire())
        if self._writer is None:
            self._writing.release()
            raise DatabaseUnavailable
        return self._writer

    async def _wait_for_writer(self) -> None:
        self._waiting += 1
        self._waits += 1
        began = time.monotonic()
        try:
            await _within(BUSY_TIMEOUT_MS, self._writing.acquire())
        except DatabaseBusy:
            self._wait_timeouts += 1
            raise
        finally:
            self._waiting -= 1
            self._waited += time.monotonic() - began

    def pool_stats(self) -> dict[str, PoolStats]:
        """Of the one that writes, for which everyone waits in line."""
        is_open = int(self._writer is not None)
        return {
            "writer": PoolStats(
                size=1,
                open=is_open,
                in_use=int(self._writing.locked()),
                waiting=self._waiting,
                waits=self._waits,
                wait_seconds=self._waited,
                wait_timeouts=self._wait_timeouts,
                statement_timeouts=0,
                failures=0,
                breaker_open=False,
            )
        }

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        writer = await self._next_writer()
        try:
            await _in_thread(writer, _execute(BEGIN))
            yield SqliteTransaction(writer)
        except BaseException as error:
            ending = self._end(writer, _roll_back)
            if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):  # whoever gives up has no time left
                await asyncio.shield(ending)
            raise
        # Shielded: a caller that hangs up cannot leave a commit half waited for.
        await asyncio.shield(self._end(writer, _commit))

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        async with self._transaction() as tx:
            yield tx

    def _end(self, writer: apsw.AsyncConnection, how: Callable[[apsw.Connection], T]) -> asyncio.Task[T]:
        """End the transaction in a task of its own, and let the next one begin after it."""
        ending = asyncio.create_task(_in_thread(writer, how))
        self._endings.add(ending)
        ending.add_done_callback(self._ended)
        return ending

    def _ended(self, ending: asyncio.Task[Any]) -> None:
        self._endings.discard(ending)
        self._writing.release()
        if not ending.cancelled():
            ending.exception()  # if nobody waits for it any more, it has been seen here


async def _within(milliseconds: int, waiting: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(
            milliseconds / 1_000
        ):  # wait_for would take a task, and before 3.12 may swallow a cancellation
            return await waiting
    except TimeoutError:
        raise DatabaseBusy from None


def _verify(path: Path) -> None:
    copy = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = copy.pragma("integrity_check")
    finally:
        copy.close()
    if found != "ok":
        raise DatabaseUnavailable(f"the copy is damaged: {found}")


def _configure(connection: apsw.Connection) -> None:
    _finish(connection.execute(PRAGMAS))
    # Of processes that open a new file together, SQLite tells all but one at once that it is busy, whatever the timeout.
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _roll_back(writer: apsw.Connection) -> None:
    if writer.in_transaction:
        writer.execute("ROLLBACK")


def _commit(writer: apsw.Connection) -> None:
    try:
        writer.execute("COMMIT")
    except apsw.Error:
        _roll_back(writer)
        raise
