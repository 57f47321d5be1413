"""Heartbeats of worker processes: each writes its process id into one pipe once a second, from its event loop.

A process that is stopped, or whose event loop is blocked, sends none. Requests have nothing to do with it.
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
"""Shorter than PIPE_BUF: the kernel writes it whole or not at all, whichever processes write at the same time."""
_RECORDS: Final = 8_192


def beat(writer: Connection) -> None:
    """Send a heartbeat now, and then one each second for as long as the running event loop turns."""
    with suppress(OSError):  # the pipe is full, because its reader is stopped
        os.write(writer.fileno(), _RECORD.pack(os.getpid()))
    asyncio.get_running_loop().call_later(BEAT_SECONDS, beat, writer)


class Heartbeats:
    """The reader's side, in the process that starts the workers and hands them ``writer``. May be used by several threads."""

    def __init__(self) -> None:
        self._reader, self.writer = multiprocessing.Pipe(duplex=False)
        for end in (self._reader, self.writer):
            os.set_blocking(end.fileno(), False)
        self._lock = threading.Lock()
        self._last: dict[int, float] = {}
        self._looked_at = time.monotonic()

    def has_begun(self, process: int) -> bool:
        """Whether it has sent one: it has started, then."""
        with self._lock:
            self._read(time.monotonic())
            return process in self._last

    def silent(self, processes: Collection[int], limit: float, now: float) -> dict[int, float]:
        """For how long those have been silent that have begun and have then sent none for ``limit`` seconds; any but these ``processes``
        are forgotten.

        To be called once a second. When it is called late, the machine may have been suspended, or all processes stopped: then the
        time of each begins again.
        """
        with self._lock:
            late = now - self._looked_at - BEAT_SECONDS
            self._looked_at = now
            self._read(now)
            for process in self._last.keys() - processes:
                del self._last[process]
            if late > limit / 3:
                self._last = dict.fromkeys(self._last, now)
            return {process: now - last for process, last in self._last.items() if now - last > limit}

    def _read(self, now: float) -> None:
        with suppress(BlockingIOError):  # there are no more
            while True:
                read = os.read(self._reader.fileno(), _RECORDS * _RECORD.size)
                self._last |= dict.fromkeys((process for (process,) in _RECORD.iter_unpack(read)), now)
