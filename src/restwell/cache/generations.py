"""What the processes of a machine share of the cache's state: marks and flags in a mapped file.

A mark is a random number in one of SLOTS places. Tags find their place by their hash; two that share one forget each other's values,
which is safe. Comparing a mark is a read of memory. Each process has a row of flags, one for each place, that say what it is writing
to. It holds a lock on its row that the kernel gives back when it dies, so that another opens what it left closed.
"""

import asyncio
import fcntl
import mmap
import os
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final
from zlib import crc32

import structlog

from restwell.cache.store import Marks, Write
from restwell.errors import ConfigurationError

log = structlog.get_logger("restwell.cache")

SLOTS: Final = 16_384
ROWS: Final = 256
SETTLE_SECONDS: Final = 10.0
"""After a process died: by then the database has done or undone whatever it was sent."""
LOOK_SECONDS: Final = 0.1

_MARKS_BYTES: Final = SLOTS * 8
_BYTES: Final = _MARKS_BYTES + SLOTS * ROWS
_NOBODY: Final = bytes(ROWS)


class GenerationTable:
    """This process's place on the board in ``folder``. One that finds itself alone there begins anew.

    Raises ConfigurationError when ROWS processes are there already. Needs the running event loop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[int, IO[bytes]] = {}
        self._writing: dict[int, int] = {}
        self._looked_at = 0.0
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock, (folder / "marks").open("a+b") as file:
            fcntl.flock(lock, fcntl.LOCK_EX)  # on a file of its own: the map would hold that of its file for good
            missing = _BYTES - file.seek(0, os.SEEK_END)
            if missing > 0:  # in full: in a file with holes, a full disk would kill whoever writes to one
                file.write(bytes(missing))
                file.flush()
            self._map = mmap.mmap(file.fileno(), _BYTES)
            self._view = memoryview(self._map)
            self.marks = self._view[:_MARKS_BYTES].cast("Q")
            self._row = self._take_row()
            self.alone = self._is_alone()
            if self.alone:
                # Nobody has watched since the last one left: a backup may have been restored, or power been lost.
                self._map[:_MARKS_BYTES] = os.urandom(_MARKS_BYTES)
                for old in folder.glob("values.db*"):
                    old.unlink()
        self._adopt(self._row)

    def close(self) -> None:
        for file in self._locks.values():
            file.close()
        self._locks.clear()
        self.marks.release()
        self._view.release()
        self._map.close()

    def current(self, tags: Iterable[str]) -> Marks | None:
        """The tags' marks of this moment, or None while one of them is written to."""
        marks = tuple((slot, self.marks[slot]) for slot in map(_slot, tags))
        for slot, _ in marks:
            if self._flags(slot) != _NOBODY:
                self._look_after_dead(slot)
                return None
        return marks

    def holds(self, marks: Marks) -> bool:
        now = self.marks
        for slot, mark in marks:  # noqa: SIM110  # all() of a generator takes twice as long, at every hit
            if now[slot] != mark:  # type: ignore[index]  # these marks are this board's own
                return False
        return True

    def begin_write(self, tags: Sequence[str]) -> Write:
        slots = {tag: _slot(tag) for tag in tags}
        marks = {slot: random.getrandbits(64) for slot in slots.values()}  # never the same again, that is all
        for slot, mark in marks.items():
            self._raise_flag(slot)  # before the mark: who sees the new mark must see the flag
            self.marks[slot] = mark
        return Write({tag: (slot, marks[slot]) for tag, slot in slots.items()})

    def end_write(self, write: Write) -> bool:
        """Whether no other write to the tags was under way since it began."""
        undisturbed = self.holds(tuple(write.marks.values()))
        for slot in {int(slot) for slot, _ in write.marks.values()}:
            self._lower_flag(slot)
            undisturbed = undisturbed and self._flags(slot) == _NOBODY
        return undisturbed

    def forget(self, tags: Iterable[str] | None) -> None:
        if tags is None:
            self._map[:_MARKS_BYTES] = os.urandom(_MARKS_BYTES)
        else:
            for tag in tags:
                self.marks[_slot(tag)] = random.getrandbits(64)  # as above

    def _flags(self, slot: int) -> bytes:
        start = _MARKS_BYTES + slot * ROWS
        return self._map[start : start + ROWS]

    def _raise_flag(self, slot: int) -> None:
        self._writing[slot] = self._writing.get(slot, 0) + 1
        self._map[_MARKS_BYTES + slot * ROWS + self._row] = 1

    def _lower_flag(self, slot: int) -> None:
        self._writing[slot] -= 1
        if not self._writing[slot]:
            del self._writing[slot]
            self._map[_MARKS_BYTES + slot * ROWS + self._row] = 0

    def _take_row(self) -> int:
        for row in range(ROWS):
            if self._lock(row):
                return row
        raise ConfigurationError(
            [f"{ROWS} processes share the cache in {self._folder} already; set another RUNTIME_DIR"]
        )

    def _lock(self, row: int) -> bool:
        """Whether the row is nobody's, and ours now."""
        file = (self._folder / "rows" / f"{row:03}").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._locks[row] = file
        return True

    def _unlock(self, row: int) -> None:
        self._locks.pop(row).close()

    def _is_alone(self) -> bool:
        for row in sorted(int(file.name) for file in (self._folder / "rows").iterdir()):
            if row != self._row:
                if not self._lock(row):
                    return False
                self._unlock(row)
        return True

    def _look_after_dead(self, slot: int) -> None:
        """Someone keeps this place closed; see to it if that one is dead. Looks now and then only."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = now
        for row, flag in enumerate(self._flags(slot)):
            if flag and row not in self._locks and self._lock(row):
                self._adopt(row)

    def _adopt(self, row: int) -> None:
        """Open what a dead process left closed in the row, once the database must be done with it."""
        left = [slot for slot, flag in enumerate(self._map[_MARKS_BYTES + row :: ROWS]) if flag]
        if left:
            log.warning("cache_writer_died", row=row, tags=len(left))
        if row == self._row:
            self._writing = dict.fromkeys(left, 1)
        asyncio.get_running_loop().call_later(SETTLE_SECONDS if left else 0, self._settle, row, left)

    def _settle(self, row: int, left: list[int]) -> None:
        if row not in self._locks:
            return  # closed meanwhile
        if row == self._row:
            for slot in left:
                self._lower_flag(slot)
            return
        for slot in left:
            self._map[_MARKS_BYTES + slot * ROWS + row] = 0
        self._unlock(row)


def _slot(tag: str) -> int:
    return crc32(tag.encode()) % SLOTS
