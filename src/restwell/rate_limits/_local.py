"""Rate-limit state shared by the processes of one machine: a set-associative hash table in a memory-mapped file.

An entry is the hash of a client key and its ``full_at``, on the monotonic clock of the machine. An entry whose
``full_at`` has passed is free, so no cleanup is needed. An entry is read and written under a file lock on its set,
which the kernel releases if the process dies.
"""

import fcntl
import mmap
import os
import time
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final

from restwell._folders import checked_writes
from restwell.cache._local import make_private_folder
from restwell.rate_limits._quota_leases import QuotaLeases
from restwell.rate_limits._rate import Rate, RateLimitResult, next_allowed_at, remaining_at, take_lease

SETS: Final = 8_192
WAYS: Final = 8
"""Entries per set. If a set is full, the client with the most remaining quota is evicted."""
LEASE_DIVISOR: Final = 64
"""A process leases this fraction of the remaining quota, which saves most locks.

A rate below 128 is counted request by request.
"""
MAX_CACHED_HASHES: Final = 4_096
LOCK_ATTEMPTS: Final = 1_000
"""The lock is held for about a microsecond.

After this many attempts the entry is written without it, so that one stopped process cannot block the others.
"""

_BYTES: Final = SETS * WAYS * 16


class LocalRateLimitStore:
    """The state is in the file ``rate_limits`` in ``folder``."""

    degraded = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[bytes] | None = None
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self._table = memoryview(b"").cast("q")
        self._leases = QuotaLeases()

    async def start(self) -> None:
        if self._file is not None:
            return
        make_private_folder(self.folder)
        with checked_writes(self.folder, "RUNTIME_DIR"):
            self._file = (self.folder / "rate_limits").open("a+b")
            missing = _BYTES - self._file.seek(0, os.SEEK_END)
            if missing > 0:  # written in full: writing to a sparse file kills the process if the disk is full
                self._file.write(bytes(missing))
                self._file.flush()
        self._descriptor = self._file.fileno()
        self._map = mmap.mmap(self._descriptor, _BYTES)
        self._table = memoryview(self._map).cast("q")

    async def close(self) -> None:
        file, self._file = self._file, None
        if file is not None and self._map is not None:
            self._table.release()
            self._map.close()
            file.close()

    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request. The store must be started."""
        result = self._leases.spend(rate, client_key)
        if result is not None:
            return result
        index, key_hash = _locate(rate.name, client_key)
        table, descriptor = self._table, self._descriptor
        locked = _lock(descriptor, index)
        try:
            now = time.monotonic_ns()
            start = index * WAYS * 2
            chosen, earliest = start, table[start + 1]
            for position in range(start, start + WAYS * 2, 2):
                if table[position] == key_hash:
                    chosen = position
                    break
                if table[position + 1] < earliest:
                    chosen, earliest = position, table[position + 1]
            full_at = table[chosen + 1] if table[chosen] == key_hash else 0
            full_at, taken = take_lease(rate, full_at, now, LEASE_DIVISOR)
            table[chosen], table[chosen + 1] = key_hash, full_at
        finally:
            if locked:
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, index)
        if not taken:
            return self._leases.reject(rate, client_key, next_allowed_at(rate, full_at))
        remaining = remaining_at(rate, full_at, now)
        return self._leases.grant(rate, client_key, taken, remaining, full_at, now + taken * rate.interval_ns)

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult:
        return self.take_nowait(rate, client_key)


def _lock(descriptor: int, index: int) -> bool:
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except OSError:
            os.sched_yield()
        else:
            return True
    return False


@lru_cache(MAX_CACHED_HASHES)
def _locate(name: str, client_key: str) -> tuple[int, int]:
    """The index of the set, and the hash within it."""
    digest = blake2b(f"{name} {client_key}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) % SETS, int.from_bytes(digest[8:], signed=True) or 1
