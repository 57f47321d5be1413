"""Heartbeats of worker processes: each writes its process id to a shared pipe once a second, from its event loop.

A suspended process, or one with a blocked event loop, sends none.
"""

import asyncio
import multiprocessing
import os
import struct
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

BEAT_SECONDS: Final = 1.0
_RECORD: Final = struct.Struct("=q")
"""Shorter than PIPE_BUF, so that concurrent writes are atomic (pipe(7))."""
_MAX_RECORDS: Final = 8_192


def send_heartbeats(writer: Connection) -> None:
    """Send a heartbeat now, and then every BEAT_SECONDS in the running event loop."""
    with suppress(OSError):  # the pipe is full, because its reader is suspended
        os.write(writer.fileno(), _RECORD.pack(os.getpid()))
    asyncio.get_running_loop().call_later(BEAT_SECONDS, send_heartbeats, writer)


class HeartbeatMonitor:
    """Receives heartbeats in the parent process, which passes ``writer`` to its workers. Thread-safe."""

    def __init__(self) -> None:
        self._reader, self.writer = multiprocessing.Pipe(duplex=False)
        for end in (self._reader, self.writer):
            os.set_blocking(end.fileno(), False)
        self._lock = threading.Lock()
        self._last: dict[int, float] = {}
        self._last_check = time.monotonic()

    def has_started(self, process: int) -> bool:
        """Whether the process has sent a heartbeat, so has started."""
        with self._lock:
            self._read(time.monotonic())
            return process in self._last

    def overdue(self, processes: Collection[int], limit: float, now: float) -> dict[int, float]:
        """The started ``processes`` without a heartbeat for ``limit`` seconds, with the seconds since their last one.

        All other processes are removed. Call it once a second: after a late call all times are reset, since the machine
        or all processes may have been suspended.
        """
        with self._lock:
            late = now - self._last_check - BEAT_SECONDS
            self._last_check = now
            self._read(now)
            for process in self._last.keys() - processes:
                del self._last[process]
            if late > limit / 3:
                self._last = dict.fromkeys(self._last, now)
            return {process: now - last for process, last in self._last.items() if now - last > limit}

    def _read(self, now: float) -> None:
        with suppress(BlockingIOError):  # the pipe is empty
            while True:
                read = os.read(self._reader.fileno(), _MAX_RECORDS * _RECORD.size)
                self._last |= dict.fromkeys((process for (process,) in _RECORD.iter_unpack(read)), now)
