"""Tag generations and writer flags, in a memory-mapped file that the processes of one machine share.

A generation is a random 64-bit number in one of BUCKETS buckets. Tags are hashed to buckets; tags in the same bucket
invalidate each other, which is safe. It is from ``secrets``, because libraries seed ``random``: a generation that comes
back makes an old value current. Comparing a generation is a memory read. Each process owns a process slot with one
flag per bucket, which is set while the process writes to the bucket. It holds a file lock on its slot. The kernel
releases the lock when the process dies; another process then clears its flags.

Flag and generation are separate memory accesses, which processors with a weak memory model reorder. ``_fence`` stands
between them; decision 25 lists which accesses must be ordered, and by what they are.
"""

import asyncio
import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final, cast
from zlib import crc32

import structlog

from restwell.cache._store import Generation, Generations, PendingWrite
from restwell.errors import ConfigurationError

log = structlog.get_logger("restwell.cache")

BUCKETS: Final = 16_384
PROCESS_SLOTS: Final = 256
RECOVERY_SECONDS: Final = 10.0
"""The time from the death of a writer until its flags are cleared: by then its transaction has committed or rolled
back.
"""
DEAD_WRITER_CHECK_SECONDS: Final = 0.1

_GENERATIONS_BYTES: Final = BUCKETS * 8
_BYTES: Final = _GENERATIONS_BYTES + BUCKETS * PROCESS_SLOTS
_NO_WRITERS: Final = bytes(PROCESS_SLOTS)


class GenerationTable:
    """The table in ``folder``, with a process slot for this process. The only process in the folder resets all
    generations.

    Raises ConfigurationError if all PROCESS_SLOTS are in use. Needs the running event loop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[int, IO[bytes]] = {}
        self._writing: dict[int, int] = {}
        self._checked_at = 0.0
        (folder / "slots").mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock, (folder / "generations").open("a+b") as file:
            fcntl.flock(
                lock, fcntl.LOCK_EX
            )  # on a separate file: the map would hold a lock on its own file until it is closed
            missing = _BYTES - file.seek(0, os.SEEK_END)
            if missing > 0:  # written in full: writing to a sparse file kills the process if the disk is full
                file.write(bytes(missing))
                file.flush()
            self._map = mmap.mmap(file.fileno(), _BYTES)
            self._view = memoryview(self._map)
            self.generations = self._view[:_GENERATIONS_BYTES].cast("Q")
            self._slot = self._claim_slot()
            self._fence_file = (folder / "fence").open("wb")
            self.is_only_process = self._is_only_process()
            if self.is_only_process:
                # The database may have changed since the last process left, for example by a restored backup or a power
                # loss.
                self._map[:_GENERATIONS_BYTES] = os.urandom(_GENERATIONS_BYTES)
                for old in folder.glob("values.db*"):
                    old.unlink()
        self._recover_slot(self._slot)

    def close(self) -> None:
        for file in self._locks.values():
            file.close()
        self._locks.clear()
        self._fence_file.close()
        self.generations.release()
        self._view.release()
        self._map.close()

    def read(self, tags: Iterable[str]) -> Generations | None:
        """The current generations of the tags; None while a write to one of them is in progress."""
        generations = self.read_each(tags)
        return None if None in generations else tuple(cast("list[Generation]", generations))

    def read_each(self, tags: Iterable[str]) -> list[Generation | None]:
        """The current generation of each tag; None while a write to it is in progress."""
        generations = [(bucket, self.generations[bucket]) for bucket in map(_bucket, tags)]
        self._fence()  # a reader of a new generation must see the flag of its writer
        return [None if self._is_written_to(generation[0]) else generation for generation in generations]

    def is_current(self, generations: Generations) -> bool:
        now = self.generations
        for bucket, generation in generations:  # noqa: SIM110  # all() of a generator takes twice as long, at every hit
            if now[bucket] != generation:  # type: ignore[index]  # the generations of this table have integer locations
                return False
        return True

    def begin_write(self, tags: Sequence[str]) -> PendingWrite:
        buckets = {tag: _bucket(tag) for tag in tags}
        generations = {bucket: secrets.randbits(64) for bucket in buckets.values()}
        for bucket in generations:
            self._set_flag(bucket)
        self._fence()  # as in read
        for bucket, generation in generations.items():
            self.generations[bucket] = generation
        return PendingWrite({tag: (bucket, generations[bucket]) for tag, bucket in buckets.items()})

    def end_write(self, write: PendingWrite) -> bool:
        """Return whether no other write to the tags overlapped."""
        undisturbed = self.is_current(tuple(write.generations.values()))
        for bucket in {int(bucket) for bucket, _ in write.generations.values()}:
            self._clear_flag(bucket)
            undisturbed = undisturbed and self._writer_flags(bucket) == _NO_WRITERS
        return undisturbed

    def invalidate(self, tags: Iterable[str] | None) -> None:
        if tags is None:
            self._map[:_GENERATIONS_BYTES] = os.urandom(_GENERATIONS_BYTES)
        else:
            for tag in tags:
                self.generations[_bucket(tag)] = secrets.randbits(64)

    def _fence(self) -> None:
        """Order the accesses to the map before this call with those after it.

        Each of the two system calls takes and releases a lock in the kernel. A release, then an acquire on the same
        processor, is such an order on every architecture that Linux supports. It takes about a microsecond.
        """
        fcntl.flock(self._fence_file, fcntl.LOCK_SH)  # shared: no process waits for another
        fcntl.flock(self._fence_file, fcntl.LOCK_UN)

    def _is_written_to(self, bucket: int) -> bool:
        if self._writer_flags(bucket) == _NO_WRITERS:
            return False
        self._check_dead_writers(bucket)
        return True

    def _writer_flags(self, bucket: int) -> bytes:
        start = _GENERATIONS_BYTES + bucket * PROCESS_SLOTS
        return self._map[start : start + PROCESS_SLOTS]

    def _set_flag(self, bucket: int) -> None:
        self._writing[bucket] = self._writing.get(bucket, 0) + 1
        self._map[_GENERATIONS_BYTES + bucket * PROCESS_SLOTS + self._slot] = 1

    def _clear_flag(self, bucket: int) -> None:
        self._writing[bucket] -= 1
        if not self._writing[bucket]:
            del self._writing[bucket]
            self._map[_GENERATIONS_BYTES + bucket * PROCESS_SLOTS + self._slot] = 0

    def _claim_slot(self) -> int:
        for slot in range(PROCESS_SLOTS):
            if self._lock_slot(slot):
                return slot
        raise ConfigurationError(
            [f"RUNTIME_DIR: {PROCESS_SLOTS} processes already share {self._folder}; set another RUNTIME_DIR"]
        )

    def _lock_slot(self, slot: int) -> bool:
        """Lock the slot for this process. False if another process holds it."""
        file = (self._folder / "slots" / f"{slot:03}").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._locks[slot] = file
        return True

    def _unlock_slot(self, slot: int) -> None:
        self._locks.pop(slot).close()

    def _is_only_process(self) -> bool:
        for slot in sorted(int(file.name) for file in (self._folder / "slots").iterdir()):
            if slot != self._slot:
                if not self._lock_slot(slot):
                    return False
                self._unlock_slot(slot)
        return True

    def _check_dead_writers(self, bucket: int) -> None:
        """Recover the slots of dead writers to the bucket; at most once per DEAD_WRITER_CHECK_SECONDS."""
        now = time.monotonic()
        if now < self._checked_at + DEAD_WRITER_CHECK_SECONDS:
            return
        self._checked_at = now
        for slot, flag in enumerate(self._writer_flags(bucket)):
            if flag and slot not in self._locks and self._lock_slot(slot):
                self._recover_slot(slot)

    def _recover_slot(self, slot: int) -> None:
        """Clear the flags that a dead process left in the slot, after RECOVERY_SECONDS."""
        buckets = [bucket for bucket, flag in enumerate(self._map[_GENERATIONS_BYTES + slot :: PROCESS_SLOTS]) if flag]
        if buckets:
            log.warning("cache_writer_died", slot=slot, buckets=len(buckets))
        if slot == self._slot:
            self._writing = dict.fromkeys(buckets, 1)
        delay = RECOVERY_SECONDS if buckets else 0
        asyncio.get_running_loop().call_later(delay, self._finish_recovery, slot, buckets)

    def _finish_recovery(self, slot: int, buckets: list[int]) -> None:
        if slot not in self._locks:
            return  # the table has been closed
        if slot == self._slot:
            for bucket in buckets:
                self._clear_flag(bucket)
            return
        for bucket in buckets:
            self._map[_GENERATIONS_BYTES + bucket * PROCESS_SLOTS + slot] = 0
        self._unlock_slot(slot)


def _bucket(tag: str) -> int:
    return crc32(tag.encode()) % BUCKETS
