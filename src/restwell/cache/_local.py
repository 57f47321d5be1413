"""The store of one machine: generations in mapped memory (``generations.py``), values and leases in a SQLite file
without fsync.
"""

from __future__ import annotations  # apsw defines AsyncConnection for type checkers only

import asyncio
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, cast

import apsw
import structlog

from restwell._folders import checked_writes, ensure_writable
from restwell.cache._generations import GenerationTable
from restwell.cache._store import (
    LEASE_SECONDS,
    Generation,
    Generations,
    PendingWrite,
    Store,
    StoreLookup,
    StoreUnavailable,
)
from restwell.database import Transaction
from restwell.errors import ConfigurationError

T = TypeVar("T")

log = structlog.get_logger("restwell.cache")

EVICTION_INTERVAL: Final = 64
"""The number of stored values between two checks of the file size."""
PEER_POLL_SECONDS: Final = 1.0
"""How often a process looks for other machines."""
PEER_GRACE_SECONDS: Final = 2.0
"""A process that finds other machines at its start waits this long before it writes.

By then they have found it, too.
"""
RESUME_AFTER_SECONDS: Final = 10.0
"""How long no other machine must be connected before the store is used again.

A machine that lost its connections reconnects by then.
"""
HINT: Final = (
    "every read goes to the database; set REDIS_URL for all machines, or one RUNTIME_DIR for processes of one host"
    " that can share a folder"
)
_SETTINGS: Final = "PRAGMA busy_timeout = 1000; PRAGMA synchronous = OFF;"
_SCHEMA: Final = f"""
{_SETTINGS}
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID;
"""


def default_runtime_dir(database_url: str) -> Path:
    """The default of RUNTIME_DIR: next to the SQLite file, or in the temporary folder, by user and database URL.

    Raises ConfigurationError if there is no writable temporary folder.
    """
    if database_url.startswith("sqlite:///"):
        return Path(f"{database_url.removeprefix('sqlite:///')}-runtime")
    digest = hashlib.sha256(database_url.encode()).hexdigest()[:16]
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        message = "RUNTIME_DIR: there is no temporary folder that this user may write to; set RUNTIME_DIR, or TMPDIR"
        raise ConfigurationError([message]) from None
    return Path(temporary) / f"restwell-{os.geteuid()}-{digest}"


def make_private_folder(folder: Path) -> None:
    """Create the folder with mode 0700.

    Raises ConfigurationError if it belongs to another user or cannot be written.
    """
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        raise ConfigurationError([f"RUNTIME_DIR: {folder} belongs to another user; set a folder of this user"])
    ensure_writable(folder, "RUNTIME_DIR", mode=0o700)


def _create_file(folder: Path) -> None:
    """Create the tables, one process at a time: SQLite reports a database as locked while another process switches it
    to WAL.
    """
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection = apsw.Connection(os.fspath(folder / "values.db"))
            try:
                connection.execute(_SCHEMA).fetchall()
            finally:
                connection.close()
        except apsw.Error as error:
            log.warning("cache_file_failed", cause=repr(error))


class LocalStore(Store):
    """A store in ``folder``. Its file of values is limited to about ``max_bytes``.

    ``count_other_machines`` counts the other machines that use the database. While there are any, the store is
    unavailable, because their writes do not change the generations of this machine.
    """

    available = True

    def __init__(
        self, folder: Path, max_bytes: int, count_other_machines: Callable[[], Awaitable[int]] | None = None
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._count_other_machines = count_other_machines
        self._warned_machines = 0
        self._sole_machine_since: float | None = None
        self._peer_watch: asyncio.Task[None] | None = None
        self._table: GenerationTable | None = None
        self._writer: apsw.AsyncConnection | None = None
        self._reader: apsw.Connection | None = None
        self._set_count = 0

    async def start(self) -> None:
        if self._table is not None:
            return
        others = await self._count_other_machines() if self._count_other_machines is not None else 0
        make_private_folder(self._folder)
        with checked_writes(self._folder, "RUNTIME_DIR"):
            self._table = GenerationTable(self._folder)
            _create_file(self._folder)
        path = os.fspath(self._folder / "values.db")
        self._writer = await apsw.Connection.as_async(path)
        await self._write(lambda sync: sync.execute(_SETTINGS).fetchall())
        self._reader = apsw.Connection(path)
        if self._count_other_machines is not None:
            await self._update_availability(others)
            if not self.available:
                await asyncio.sleep(PEER_GRACE_SECONDS)
            self._peer_watch = asyncio.create_task(self._watch_peers(self._count_other_machines))

    async def close(self) -> None:
        watch, self._peer_watch = self._peer_watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        table, self._table = self._table, None
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if writer is not None:
            await writer.aclose()
        if table is not None:
            table.close()

    def is_current_nowait(self, generations: Generations) -> bool:
        table = self._table
        return table is not None and table.is_current(generations)

    async def is_current(self, generations: Generations) -> bool:
        return self._open_table.is_current(generations)

    async def get(self, key: str, tags: Sequence[str]) -> StoreLookup:
        generations = self._open_table.read(tags)
        if generations is None or self._reader is None:
            return StoreLookup(None, None)
        try:
            # In this thread: a read from the page cache, which waits for no writer in WAL mode.
            row = self._reader.execute("SELECT data FROM entries WHERE key = ?", (key,)).fetchone()
        except apsw.Error:
            row = None
        return StoreLookup(generations, row[0] if row is not None else None)

    async def generations(self, tags: Sequence[str]) -> list[Generation | None]:
        return self._open_table.read_each(tags)

    async def acquire_lease(self, key: str, tags: Sequence[str]) -> tuple[bool, StoreLookup]:
        now = time.time()
        acquired = await self._write(
            lambda sync: sync.execute(
                "INSERT INTO leases VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at"
                " WHERE expires_at <= ? RETURNING 1",
                (key, now + LEASE_SECONDS, now),
            ).fetchall()
        )
        return acquired is None or bool(acquired), await self.get(
            key, tags
        )  # without a writable file, every process loads

    async def set(self, key: str, data: bytes, ttl_seconds: float) -> None:
        if not self.available:
            await self.release_lease(key)
            return
        self._set_count += 1
        check_size = self._set_count % EVICTION_INTERVAL == 0

        def call(sync: apsw.Connection) -> None:
            with sync:
                sync.execute(
                    "INSERT OR REPLACE INTO entries (key, data, expires_at) VALUES (?, ?, ?)",
                    (key, data, time.time() + ttl_seconds),
                )
                sync.execute("DELETE FROM leases WHERE key = ?", (key,))
                if check_size:
                    self._evict(sync)

        await self._write(call)

    async def release_lease(self, key: str) -> None:
        await self._write(lambda sync: sync.execute("DELETE FROM leases WHERE key = ?", (key,)).fetchall())

    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> PendingWrite:  # noqa: ARG002  # of Store
        return self._open_table.begin_write(tags)

    async def end_write(self, write: PendingWrite) -> bool:
        return self._open_table.end_write(write)

    async def invalidate(self, tags: Sequence[str] | None) -> None:
        self._open_table.invalidate(tags)
        if tags is None:
            await self._write(lambda sync: sync.execute("DELETE FROM entries").fetchall())

    async def _watch_peers(self, count_other_machines: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(PEER_POLL_SECONDS)
            with suppress(Exception):  # whatever the driver raises, the last count stays in force
                await self._update_availability(await count_other_machines())

    async def _update_availability(self, others: int) -> None:
        """Invalidate everything when the store becomes unavailable and when it becomes available: no value survives
        foreign writes.
        """
        if others:
            self._sole_machine_since = None
            if self.available:
                self.available = False
                await self.invalidate(None)
            if others != self._warned_machines:
                self._warned_machines = others
                log.warning("cache_not_shared", other_machines=others, hint=HINT)
        elif not self.available:
            now = time.monotonic()
            self._sole_machine_since = self._sole_machine_since or now
            if now - self._sole_machine_since >= RESUME_AFTER_SECONDS:
                await self.invalidate(None)
                self.available = True
                self._warned_machines = 0
                log.warning("cache_resumed")

    @property
    def _open_table(self) -> GenerationTable:
        if self._table is None:
            raise StoreUnavailable
        return self._table

    def _evict(self, sync: apsw.Connection) -> None:
        """Delete expired values, then the oldest tenth until the file is within its limit."""
        sync.execute("DELETE FROM entries WHERE expires_at <= ?", (time.time(),))
        while (sync.pragma("page_count") - sync.pragma("freelist_count")) * sync.pragma("page_size") > self._max_bytes:
            sync.execute("DELETE FROM entries WHERE id <= (SELECT max(id) - 9 * count(*) / 10 FROM entries)")

    async def _write(self, call: Callable[[apsw.Connection], T]) -> T | None:
        """Run the call in the thread of the writer.

        None if the file cannot be written: then processes do not share values.
        """
        if self._writer is None:
            return None
        try:
            result: T = await self._writer.async_run(call, cast("apsw.Connection", self._writer))
        except apsw.Error as error:
            log.warning("cache_file_failed", cause=repr(error))
            return None
        return result
