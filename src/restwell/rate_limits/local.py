"""What the processes of a machine know together of who has spent what: a hash table in a mapped file.

A place holds whose it is and when all is there again. One whose moment has passed says nothing, so it is free for another: nothing is
ever cleaned up. The clock is the machine's own, which no one sets. Reading and writing a place takes a lock of the kernel on its set,
which it gives back when the holder dies.
"""

import fcntl
import mmap
import os
import time
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final

from restwell.cache.local import make_private_folder
from restwell.folders import checked_writes
from restwell.rate_limits.quota_leases import Shares
from restwell.rate_limits.rate import Rate, RateLimitResult, free_at, left_of, take

SETS: Final = 8_192
WAYS: Final = 8
"""So many clients share a set. If more than that have spent at once, the one with the most left is forgotten."""
SHARES: Final = 64
"""A process takes this part of what is left, so that it need not lock for each request; of a rate below 128 one at a time."""
REMEMBERED: Final = 4_096
TRIES: Final = 1_000
"""So often a lock is asked for, which is held for about a microsecond. A holder that was stopped just then must not stop all others."""

_BYTES: Final = SETS * WAYS * 16


class LocalRateLimitStore:
    """Everything in the file ``limits`` in ``folder``."""

    degraded = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[bytes] | None = None
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self._places = memoryview(b"").cast("q")
        self._shares = Shares()

    async def start(self) -> None:
        if self._file is not None:
            return
        make_private_folder(self.folder)
        with checked_writes(self.folder, "RUNTIME_DIR"):
            self._file = (self.folder / "limits").open("a+b")
            missing = _BYTES - self._file.seek(0, os.SEEK_END)
            if missing > 0:  # in full: in a file with holes, a full disk would kill a process that writes to one
                self._file.write(bytes(missing))
                self._file.flush()
        self._descriptor = self._file.fileno()
        self._map = mmap.mmap(self._descriptor, _BYTES)
        self._places = memoryview(self._map).cast("q")

    async def close(self) -> None:
        file, self._file = self._file, None
        if file is not None and self._map is not None:
            self._places.release()
            self._map.close()
            file.close()

    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request of ``client_key``. Needs to be started."""
        result = self._shares.take(rate, client_key)
        if result is not None:
            return result
        number, mark = _place(rate.name, client_key)
        places, descriptor = self._places, self._descriptor
        locked = _lock(descriptor, number)
        try:
            now = time.monotonic_ns()
            start = number * WAYS * 2
            chosen, least = start, places[start + 1]
            for place in range(start, start + WAYS * 2, 2):
                if places[place] == mark:
                    chosen = place
                    break
                if places[place + 1] < least:
                    chosen, least = place, places[place + 1]
            full_at = places[chosen + 1] if places[chosen] == mark else 0
            full_at, taken = take(rate, full_at, now, SHARES)
            places[chosen], places[chosen + 1] = mark, full_at
        finally:
            if locked:
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, number)
        if not taken:
            return self._shares.refuse(rate, client_key, free_at(rate, full_at))
        return self._shares.add(
            rate, client_key, taken, left_of(rate, full_at, now), full_at, now + taken * rate.interval
        )

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult:
        return self.take_nowait(rate, client_key)


def _lock(descriptor: int, number: int) -> bool:
    for _ in range(TRIES):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            os.sched_yield()
        else:
            return True
    return False


@lru_cache(REMEMBERED)
def _place(name: str, client_key: str) -> tuple[int, int]:
    """The number of its set, and what it is known by there."""
    digest = blake2b(f"{name} {client_key}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) % SETS, int.from_bytes(digest[8:], signed=True) or 1
