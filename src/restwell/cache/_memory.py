"""Level 1: the cache in the memory of this process, limited in bytes.

Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): an entry that is read
once leaves through the small queue and never evicts an entry that is read often. A hit increments a counter and moves
nothing. ``bench/eviction.py`` compares it with LRU and W-TinyLFU.
"""

import math
import random
from collections import deque
from typing import Any, Final

from restwell.cache._metrics import CacheStats
from restwell.cache._store import Generations

MISSING_SECONDS: Final = 5.0
"""How long None is cached at most."""
JITTER: Final = 0.1
"""A TTL is shortened by a random fraction of up to this, so that values that were loaded together do not expire
together.
"""
SMALL_SHARE: Final = 0.1
"""The fraction of the bytes that the small queue may use."""
MAX_FREQUENCY: Final = 3
ENTRY_BYTES: Final = 1_500
"""Estimated overhead per entry: its objects, its key and generations, its slots in the dict and the queue."""
OBJECT_FACTOR: Final = 2
"""Estimated ratio of a value's size in memory to its encoded size.

With both constants, the estimate for sessions, products and product lists is at most 10% below the measured growth of
the process.
"""


class Entry:
    """A cached value with the generations it was read under.

    ``expires_at`` and ``refresh_at`` are Unix timestamps in seconds: from ``refresh_at`` on the value should be
    reloaded, though it is valid until ``expires_at``. The parameter ``size`` is the encoded size in bytes; the
    attribute ``size`` estimates all memory. ``stats`` are those of its name.
    """

    __slots__ = ("expires_at", "frequency", "generations", "in_small", "key", "refresh_at", "size", "stats", "value")

    def __init__(
        self,
        key: str,
        value: Any,
        generations: Generations,
        size: int,
        expires_at: float,
        refresh_at: float,
        stats: CacheStats,
    ) -> None:
        self.key = key
        self.value = value
        self.generations = generations
        self.size = OBJECT_FACTOR * size + ENTRY_BYTES
        self.expires_at = expires_at
        self.refresh_at = refresh_at
        self.stats = stats
        self.frequency = 0
        self.in_small = True


class Memory:
    """Entries by key. Their total size never exceeds ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_small = int(max_bytes * SMALL_SHARE)
        self._entries: dict[str, Entry] = {}
        self._small: deque[Entry] = deque()
        self._main: deque[Entry] = deque()
        self._ghost: dict[str, None] = {}
        self._small_bytes = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.frequency < MAX_FREQUENCY:
            entry.frequency += 1
        return entry

    def put(self, entry: Entry) -> None:
        """Insert or replace the entry. A new entry larger than the small queue is not stored."""
        existing = self._entries.get(entry.key)
        if existing is not None:
            self._replace(existing, entry)
        elif entry.size <= self._max_small:
            self._entries[entry.key] = entry
            self.bytes += entry.size
            entry.stats.entries += 1
            entry.stats.bytes += entry.size
            if entry.key in self._ghost:  # evicted recently, so it skips the small queue
                del self._ghost[entry.key]
                entry.in_small = False
                self._main.append(entry)
            else:
                self._small.append(entry)
                self._small_bytes += entry.size
        while self.bytes > self._max_bytes:
            self._evict()

    def set(
        self,
        key: str,
        value: Any,
        generations: Generations,
        size: int,
        expires_at: float,
        load_seconds: float,
        stats: CacheStats,
    ) -> Entry:
        """Insert or replace the value, whose load took ``load_seconds``."""
        # XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015):
        # refresh early by the duration of a load times an exponentially distributed random number. Drawn once here; the
        # paper draws at each hit.
        early = load_seconds * -math.log(1.0 - random.random())  # noqa: S311  # no secret
        entry = Entry(key, value, generations, size, expires_at, expires_at - early, stats)
        self.put(entry)
        return entry

    def _replace(self, existing: Entry, entry: Entry) -> None:
        growth = entry.size - existing.size
        self.bytes += growth
        existing.stats.bytes += growth
        self._small_bytes += growth if existing.in_small else 0
        existing.value, existing.generations, existing.size = entry.value, entry.generations, entry.size
        existing.expires_at, existing.refresh_at = entry.expires_at, entry.refresh_at

    def _evict(self) -> None:
        """Evict one entry, or move it to the main queue."""
        if self._small and (self._small_bytes >= self._max_small or not self._main):
            entry = self._small.popleft()
            self._small_bytes -= entry.size
            if entry.frequency > 1:
                entry.frequency, entry.in_small = 0, False
                self._main.append(entry)
                return
            self._ghost[entry.key] = None
            if len(self._ghost) > len(self._entries):
                del self._ghost[next(iter(self._ghost))]
        else:
            entry = self._main.popleft()
            if entry.frequency:
                entry.frequency -= 1
                self._main.append(entry)
                return
        del self._entries[entry.key]
        self.bytes -= entry.size
        entry.stats.entries -= 1
        entry.stats.bytes -= entry.size
        entry.stats.evictions += 1


def with_jitter(ttl_seconds: float) -> float:
    return ttl_seconds * (1.0 - JITTER * random.random())  # noqa: S311  # no secret
