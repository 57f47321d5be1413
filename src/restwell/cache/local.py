"""The store of one machine: marks in mapped memory (``board.py``), values and leases in a SQLite file that is never synced."""

from __future__ import annotations  # apsw names AsyncConnection for type checkers only

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
import asyncpg
import structlog

from restwell.cache.generations import GenerationTable
from restwell.cache.store import LEASE_SECONDS, Found, Marks, Store, StoreUnavailable, Write
from restwell.database import Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.folders import checked_writes, ensure_writable

T = TypeVar("T")

log = structlog.get_logger("restwell.cache")

LOOK_AFTER: Final = 64
"""So many values are kept before the size of the file is looked at again."""
PEERS_SECONDS: Final = 1.0
"""How often a process looks for other machines."""
SEEN_SECONDS: Final = 2.0
"""A process that finds others when it starts waits so long before it writes: by then the others have looked."""
ALONE_SECONDS: Final = 10.0
"""So long no other machine must have been there before the store is used again: one whose connections were lost opens new ones."""
CURE: Final = "every read goes to the database; set REDIS_URL for all machines, or one RUNTIME_DIR for processes of one host that can share a folder"
_SETTINGS: Final = "PRAGMA busy_timeout = 1000; PRAGMA synchronous = OFF;"
_SCHEMA: Final = f"""
{_SETTINGS}
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS kept (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""


def default_runtime_dir(database_url: str) -> Path:
    """Where whoever uses this database finds the same store: beside a SQLite file, else below the machine's temporary folder."""
    if database_url.startswith("sqlite:///"):
        return Path(f"{database_url.removeprefix('sqlite:///')}-cache")
    which = hashlib.sha256(database_url.encode()).hexdigest()[:16]
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        message = "RUNTIME_DIR: there is no temporary folder that this user may write to; set RUNTIME_DIR, or TMPDIR"
        raise ConfigurationError([message]) from None
    return Path(temporary) / f"restwell-cache-{os.geteuid()}-{which}"


def make_private_folder(folder: Path) -> None:
    """Have the folder, for this user alone. Raises ConfigurationError for another's, and where it cannot be written."""
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        raise ConfigurationError([f"RUNTIME_DIR: {folder} is another user's; name a folder of this user's own"])
    ensure_writable(folder, "RUNTIME_DIR", mode=0o700)


def _make_file(folder: Path) -> None:
    """One process at a time: a file that another turns into one with a WAL is locked, however long one would wait."""
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
    """Everything in ``folder``, of whose file of values at most about ``max_bytes`` are used.

    ``others`` counts the other machines that use the same database. While there are any, the store is not usable: what they write changes
    no mark here.
    """

    usable = True

    def __init__(self, folder: Path, max_bytes: int, others: Callable[[], Awaitable[int]] | None = None) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._others = others
        self._told = 0
        self._alone_since: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._board: GenerationTable | None = None
        self._writer: apsw.AsyncConnection | None = None
        self._reader: apsw.Connection | None = None
        self._kept = 0

    async def start(self) -> None:
        if self._board is not None:
            return
        others = await self._others() if self._others is not None else 0
        make_private_folder(self._folder)
        with checked_writes(self._folder, "RUNTIME_DIR"):
            self._board = GenerationTable(self._folder)
            _make_file(self._folder)
        path = os.fspath(self._folder / "values.db")
        self._writer = await apsw.Connection.as_async(path)
        await self._write(lambda sync: sync.execute(_SETTINGS).fetchall())
        self._reader = apsw.Connection(path)
        if self._others is not None:
            await self._judge(others)
            if not self.usable:
                await asyncio.sleep(SEEN_SECONDS)
            self._looking = asyncio.create_task(self._look_for_others(self._others))

    async def close(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])
        board, self._board = self._board, None
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if writer is not None:
            await writer.aclose()
        if board is not None:
            board.close()

    def holds(self, marks: Marks) -> bool:
        board = self._board
        return board is not None and board.holds(marks)

    async def still_holds(self, marks: Marks) -> bool:
        return self._ready.holds(marks)

    async def look(self, key: str, tags: Sequence[str]) -> Found:
        marks = self._ready.current(tags)
        if marks is None or self._reader is None:
            return Found(None, None)
        try:
            # In this thread: a read of memory, which waits for no writer.
            row = self._reader.execute("SELECT data FROM kept WHERE key = ?", (key,)).fetchone()
        except apsw.Error:
            row = None
        return Found(marks, row[0] if row is not None else None)

    async def lease(self, key: str, tags: Sequence[str]) -> tuple[bool, Found]:
        now = time.time()
        taken = await self._write(
            lambda sync: sync.execute(
                "INSERT INTO leases VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = excluded.until WHERE until <= ?"
                " RETURNING 1",
                (key, now + LEASE_SECONDS, now),
            ).fetchall()
        )
        return taken is None or bool(taken), await self.look(key, tags)  # where nobody can take it, everybody reads

    async def keep(self, key: str, data: bytes, ttl_seconds: float) -> None:
        if not self.usable:
            await self.release(key)
            return
        self._kept += 1
        look = self._kept % LOOK_AFTER == 0

        def call(sync: apsw.Connection) -> None:
            with sync:
                sync.execute(
                    "INSERT OR REPLACE INTO kept (key, data, expires_at) VALUES (?, ?, ?)",
                    (key, data, time.time() + ttl_seconds),
                )
                sync.execute("DELETE FROM leases WHERE key = ?", (key,))
                if look:
                    self._make_room(sync)

        await self._write(call)

    async def release(self, key: str) -> None:
        await self._write(lambda sync: sync.execute("DELETE FROM leases WHERE key = ?", (key,)).fetchall())

    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> Write:  # noqa: ARG002  # a Store's signature
        return self._ready.begin_write(tags)

    async def end_write(self, write: Write) -> bool:
        return self._ready.end_write(write)

    async def forget(self, tags: Sequence[str] | None) -> None:
        self._ready.forget(tags)
        if tags is None:
            await self._write(lambda sync: sync.execute("DELETE FROM kept").fetchall())

    async def _look_for_others(self, others: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(PEERS_SECONDS)
            with suppress(ServiceUnavailable, ConfigurationError, asyncpg.PostgresError):  # what was seen last counts
                await self._judge(await others())

    async def _judge(self, others: int) -> None:
        """Everything is forgotten when the store is used no longer and when it is used again: nothing kept outlives the others' writes."""
        if others:
            self._alone_since = None
            if self.usable:
                self.usable = False
                await self.forget(None)
            if others != self._told:
                self._told = others
                log.warning("cache_not_shared", other_machines=others, cure=CURE)
        elif not self.usable:
            now = time.monotonic()
            self._alone_since = self._alone_since or now
            if now - self._alone_since >= ALONE_SECONDS:
                await self.forget(None)
                self.usable = True
                self._told = 0
                log.warning("cache_resumed")

    @property
    def _ready(self) -> GenerationTable:
        if self._board is None:
            raise StoreUnavailable
        return self._board

    def _make_room(self, sync: apsw.Connection) -> None:
        """Drop what has expired, and of the rest what was kept longest ago, a tenth at a time, until there is room."""
        sync.execute("DELETE FROM kept WHERE expires_at <= ?", (time.time(),))
        while (sync.pragma("page_count") - sync.pragma("freelist_count")) * sync.pragma("page_size") > self._max_bytes:
            sync.execute("DELETE FROM kept WHERE number <= (SELECT max(number) - 9 * count(*) / 10 FROM kept)")

    async def _write(self, call: Callable[[apsw.Connection], T]) -> T | None:
        """Run a call in the writer's own thread; None where the file cannot be written, which costs sharing, nothing else."""
        if self._writer is None:
            return None
        try:
            result: T = await self._writer.async_run(call, cast("apsw.Connection", self._writer))
        except apsw.Error as error:
            log.warning("cache_file_failed", cause=repr(error))
            return None
        return result
