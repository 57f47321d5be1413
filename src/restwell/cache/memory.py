"""Level one: what this process holds, bounded in bytes, least useful first out.

Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): what is asked for once leaves by
a small queue and never pushes out what is asked for often. A hit counts and moves nothing. ``bench/eviction.py`` compares it.
"""

from collections import deque
from typing import Any, Final

from restwell.cache.metrics import CacheStats
from restwell.cache.store import Marks

YOUNG_SHARE: Final = 0.1
"""How much of the room the queue of newcomers has."""
MAX_USES: Final = 3
ENTRY_BYTES: Final = 1_500
"""What an entry takes besides its value: the objects around it, its key and marks, its places in dict and queue."""
OBJECT_FACTOR: Final = 2
"""How much larger a value is in memory than encoded. With both, what was counted for sessions, products and lists of them was never
less than a tenth below what the process grew by.
"""


class Entry:
    """A value, the marks it was read under, and until when it may be used, in seconds since 1970.

    From ``refresh_at`` on it should be read anew, though it holds until ``expires_at``. ``size`` is in bytes: given of the encoded
    value, then of all that the entry takes. ``figures`` are those of its name.
    """

    __slots__ = ("expires_at", "figures", "key", "marks", "refresh_at", "size", "uses", "value", "young")

    def __init__(
        self, key: str, value: Any, marks: Marks, size: int, expires_at: float, refresh_at: float, figures: CacheStats
    ) -> None:
        self.key = key
        self.value = value
        self.marks = marks
        self.size = OBJECT_FACTOR * size + ENTRY_BYTES
        self.expires_at = expires_at
        self.refresh_at = refresh_at
        self.figures = figures
        self.uses = 0
        self.young = True


class Memory:
    """Entries by key, together at most ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_young = int(max_bytes * YOUNG_SHARE)
        self._entries: dict[str, Entry] = {}
        self._young: deque[Entry] = deque()
        self._old: deque[Entry] = deque()
        self._gone: dict[str, None] = {}
        self._young_bytes = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.uses < MAX_USES:
            entry.uses += 1
        return entry

    def put(self, entry: Entry) -> None:
        """Hold the entry, in the place of the one before it. A new one larger than the newcomers' queue is not held."""
        known = self._entries.get(entry.key)
        if known is not None:
            self._renew(known, entry)
        elif entry.size <= self._max_young:
            self._entries[entry.key] = entry
            self.bytes += entry.size
            entry.figures.entries += 1
            entry.figures.bytes += entry.size
            if entry.key in self._gone:  # it left only a moment ago, and that was too soon
                del self._gone[entry.key]
                entry.young = False
                self._old.append(entry)
            else:
                self._young.append(entry)
                self._young_bytes += entry.size
        while self.bytes > self._max_bytes:
            self._evict()

    def _renew(self, known: Entry, entry: Entry) -> None:
        grown = entry.size - known.size
        self.bytes += grown
        known.figures.bytes += grown
        self._young_bytes += grown if known.young else 0
        known.value, known.marks, known.size = entry.value, entry.marks, entry.size
        known.expires_at, known.refresh_at = entry.expires_at, entry.refresh_at

    def _evict(self) -> None:
        """Let one entry leave, or move on."""
        if self._young and (self._young_bytes >= self._max_young or not self._old):
            entry = self._young.popleft()
            self._young_bytes -= entry.size
            if entry.uses > 1:
                entry.uses, entry.young = 0, False
                self._old.append(entry)
                return
            self._gone[entry.key] = None
            if len(self._gone) > len(self._entries):
                del self._gone[next(iter(self._gone))]
        else:
            entry = self._old.popleft()
            if entry.uses:
                entry.uses -= 1
                self._old.append(entry)
                return
        del self._entries[entry.key]
        self.bytes -= entry.size
        entry.figures.entries -= 1
        entry.figures.bytes -= entry.size
        entry.figures.evictions += 1
