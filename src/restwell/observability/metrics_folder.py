"""The folder in which processes leave their metrics for one another.

Each process has one file there. It replaces the file as a whole and keeps it locked while it lives, so the lock tells whether it does, in
other containers too. The files of ended processes are folded into one: counters never fall, and the number of files stays small.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final, Literal
from uuid import uuid4

import msgspec
import structlog
from msgspec import Struct

log = structlog.get_logger("restwell.metrics")

FOLD_AFTER_SECONDS: Final = 30.0
"""So long the file of an ended process stays: for a moment, one that has just been made looks like it, as it is not locked yet."""
ATTEMPTS: Final = 10
_FILE: Final = re.compile(r"\d+-[0-9a-f]{32}\.(metrics|part)", re.ASCII)
_PASSING: Final = frozenset({"gauge", "gaugehistogram", "info", "stateset", "unknown"})
"""What is true of a process only while it lives; counts stay, or a rate would jump each time a worker is replaced."""

Kind = Literal["counter", "gauge", "summary", "histogram", "gaugehistogram", "unknown", "info", "stateset"]
Sample = tuple[str, dict[str, str], float]


class Family(Struct):
    name: str
    text: str
    kind: Kind
    samples: list[Sample]


class _Folded(Struct):
    """What ended processes have counted, and the files that this was read from: until they are deleted, they do not count again."""

    files: list[str]
    families: list[Family]


class _Left(Struct):
    """What a process has left, unless it cannot be read; whether it has ended, and how long ago it wrote this."""

    families: list[Family] | None
    ended: bool
    age: float


def merge(families: Iterable[Family]) -> list[Family]:
    """Families of one name as one, equal samples added up."""
    merged: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {}
    for family in families:
        merged.setdefault(family.name, Family(family.name, family.text, family.kind, []))
        values = sums.setdefault(family.name, {})
        created = f"{family.name}_created" if family.kind not in _PASSING else None
        for name, labels, value in family.samples:
            key = (name, frozenset(labels.items()))
            if name == created:  # the time since when it counts
                values[key] = min(values.get(key, value), value)
            else:
                values[key] = values.get(key, 0.0) + value
    for name, family in merged.items():
        family.samples = [(sample, dict(sorted(labels)), value) for (sample, labels), value in sums[name].items()]
    return list(merged.values())


class MetricsFolder:
    """The folder, and this process's file in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = f"{os.getpid()}-{uuid4().hex}"
        self._held: IO[bytes] | None = None
        self._folded = path / "folded"

    @staticmethod
    def check(path: Path) -> None:
        """Raises OSError if files cannot be written there."""
        with _lock_file(path):
            pass

    def publish(self, families: list[Family]) -> None:
        """Raises OSError, and then what was published before stays."""
        draft = self._path / f"{self._name}.part"
        with ExitStack() as stack:
            file = stack.enter_context(draft.open("wb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before others see it
            file.write(msgspec.msgpack.encode(families))
            file.flush()
            draft.replace(self._path / f"{self._name}.metrics")
            stack.pop_all()
        self.release()
        self._held = file

    def release(self) -> None:
        """Count as ended from now on."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def others(self) -> list[Family]:
        """What all other processes have left. No lock is waited for: a process that hangs must not keep the metrics from others."""
        families: list[Family] = []
        for _ in range(ATTEMPTS):
            with ExitStack() as stack:
                file = None
                with suppress(OSError):
                    file = stack.enter_context(self._folded.open("rb"))
                folded = _decode_folded(file)
                families = [*folded.families, *self._of_files(set(folded.files))]
                if _is_still(self._folded, file):
                    break  # else files were folded meanwhile, and may count twice or not at all
        return families

    def fold(self) -> None:
        """Add what ended processes have counted to one file and delete theirs, unless another process does so already.

        It may be interrupted anywhere: the names of the files become part of the sum in the moment in which their counts do.
        """
        with _lock_file(self._path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            with ExitStack() as stack:
                file = None
                with suppress(FileNotFoundError):
                    file = stack.enter_context(self._folded.open("rb"))
                folded = _decode_folded(file)
            left = self._delete(folded.files)
            taken: list[str] = []
            families = merge([*folded.families, *self._take(set(left), taken)])
            if taken:
                draft = self._folded.with_suffix(".part")
                draft.write_bytes(msgspec.msgpack.encode(_Folded([*left, *taken], families)))
                draft.replace(self._folded)
                self._delete(taken)

    def _of_files(self, known: set[str]) -> Iterator[Family]:
        for file in self._files():
            if file.suffix == ".metrics" and file.name not in known and file.stem != self._name:
                with suppress(OSError):  # it is gone
                    left = _read(file)
                    yield from _kept(left) if left.ended else left.families or ()

    def _take(self, known: set[str], taken: list[str]) -> Iterator[Family]:
        """The counts in the files of those who have ended; ``taken`` gets the files' names, also of those that cannot be read."""
        for file in self._files():
            with suppress(OSError):
                if file.name not in known and (left := _read(file)).ended and left.age > FOLD_AFTER_SECONDS:
                    taken.append(file.name)
                    if file.suffix == ".metrics":
                        yield from _kept(left)

    def _files(self) -> list[Path]:
        """Those of processes; whatever else lies here is not looked at."""
        with os.scandir(self._path) as entries:
            ours = [e.path for e in entries if _FILE.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
        return [Path(path) for path in sorted(ours)]

    def _delete(self, names: list[str]) -> list[str]:
        """Returns those that are still there."""
        left = []
        for name in names:
            try:
                (self._path / name).unlink(missing_ok=True)
            except OSError:
                left.append(name)
        return left


def _kept(left: _Left) -> list[Family]:
    return [family for family in left.families or () if family.kind not in _PASSING]


def _read(path: Path) -> _Left:
    while True:
        with path.open("rb") as file:
            ended = True
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                ended = False
            if not ended or _is_still(path, file):  # else its process has just replaced it
                families = None
                with suppress(msgspec.DecodeError, UnicodeDecodeError):  # half-written, or from another release
                    families = msgspec.msgpack.decode(file.read(), type=list[Family])
                return _Left(families, ended, abs(time.time() - os.fstat(file.fileno()).st_mtime))


def _decode_folded(file: IO[bytes] | None) -> _Folded:
    if file is not None:
        try:
            return msgspec.msgpack.decode(file.read(), type=_Folded)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("metrics_unreadable", file=file.name, reason=str(error))
    return _Folded([], [])


def _is_still(path: Path, file: IO[bytes] | None) -> bool:
    """Whether the path leads to this open file, or to none where there is none."""
    try:
        found = path.stat()
    except OSError:
        return file is None
    return file is not None and os.path.samestat(found, os.fstat(file.fileno()))


def _lock_file(path: Path) -> IO[bytes]:
    return (path / "lock").open("ab")
