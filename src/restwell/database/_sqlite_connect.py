"""The settings of a connection to SQLite, and how it waits for a lock of another process."""

import time
from collections.abc import Callable
from typing import Final

import apsw

BUSY_TIMEOUT_MS: Final = 5_000
POLL_SECONDS: Final = 0.001
PRAGMAS: Final = """
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -4096;
"""


def configure(connection: apsw.Connection) -> None:
    """Set a connection up. Raises apsw.BusyError."""
    connection.set_busy_handler(_wait_for_lock())
    connection.execute(PRAGMAS).fetchall()
    # When processes open a new file at the same time, SQLite returns SQLITE_BUSY immediately, despite the handler.
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


def _wait_for_lock() -> Callable[[int], bool]:
    """A busy handler that tries again each millisecond, for up to BUSY_TIMEOUT_MS.

    SQLite's own (``PRAGMA busy_timeout``) soon tries ten times a second only. A process that writes one transaction
    after another leaves the lock free for less than a millisecond at a time, so that another one finds it taken for
    seconds.
    """
    deadline = 0.0

    def wait(earlier_attempts: int) -> bool:
        nonlocal deadline
        now = time.monotonic()
        if not earlier_attempts:
            deadline = now + BUSY_TIMEOUT_MS / 1_000
        if now >= deadline:
            return False
        time.sleep(POLL_SECONDS)
        return True

    return wait
