"""The folder in which processes share their metrics and reports.

Each process owns one file. It replaces the file atomically and holds a lock on it, so that other processes, in other
containers too, know whether it is running. The files of exited processes are compacted into one: counters stay
monotonic, and the number of files stays small.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final, Literal
from uuid import uuid4

import msgspec
import structlog
from msgspec import Struct

from restwell._atomic_file import replacing
from restwell.observability._metric_families import Series

log = structlog.get_logger("restwell.metrics")

COMPACT_AFTER_SECONDS: Final = 30.0
"""The age from which the file of an exited process is compacted. A new file is not locked for a moment."""
ATTEMPTS: Final = 10
_FILE: Final = re.compile(r"\d+-[0-9a-f]{32}\.(metrics|part)", re.ASCII)
_LIVE_ONLY: Final = frozenset({"gauge", "gaugehistogram", "info", "stateset", "unknown"})
"""Metric types that are dropped when their process exits. Counters remain, so that rates stay correct."""

_MAY_BE_INFO: Final = frozenset({"gauge", "info"})
INFO_SUFFIX: Final = "_info"
"""An info metric has its facts in labels and the value 1, however many processes have it."""

Kind = Literal["counter", "gauge", "summary", "histogram", "gaugehistogram", "unknown", "info", "stateset"]
Sample = tuple[str, dict[str, str], float]


class Family(Struct):
    """A metric family of this module's format. A histogram of the kit has ``series``, others have ``samples``."""

    name: str
    text: str
    kind: Kind
    samples: list[Sample]
    bounds: list[float] = []
    series: list[Series] = []


class _Published(Struct):
    """The contents of a process file."""

    families: list[Family]
    report: Mapping[str, bytes]


class _Compacted(Struct):
    """The counters of exited processes, and the files that they include, which are skipped until they are deleted."""

    files: list[str]
    families: list[Family]


class _ProcessMetrics(Struct):
    """The contents of a process file, empty if it is unreadable; whether the process has exited; the file's age."""

    families: list[Family]
    report: Mapping[str, bytes]
    exited: bool
    age: float


def merge(families: Iterable[Family]) -> list[Family]:
    """Merge families by name. Samples and series with the same name and labels are summed; an info metric remains 1.

    Each bucket of a series has its newest example. A histogram with other buckets than an earlier one of its
    name, of another release, is left out.
    """
    merged: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {}
    series: dict[str, dict[tuple[str, ...], Series]] = {}
    for family in families:
        first = merged.setdefault(family.name, Family(family.name, family.text, family.kind, [], family.bounds))
        if family.bounds == first.bounds:
            _add_series(series.setdefault(family.name, {}), family.series)
        values = sums.setdefault(family.name, {})
        created = f"{family.name}_created" if family.kind not in _LIVE_ONLY else None
        for name, labels, value in family.samples:
            key = (name, frozenset(labels.items()))
            if name == created:  # the creation time of the counter
                values[key] = min(values.get(key, value), value)
            elif family.kind in _MAY_BE_INFO and name.endswith(INFO_SUFFIX):
                values[key] = value
            else:
                values[key] = values.get(key, 0.0) + value
    for name, family in merged.items():
        family.samples = [(sample, dict(sorted(labels)), value) for (sample, labels), value in sums[name].items()]
        family.series = [*series.get(name, {}).values()]
    return list(merged.values())


class MetricsFolder:
    """The shared folder, and the file of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = f"{os.getpid()}-{uuid4().hex}"
        self._file: IO[bytes] | None = None
        self._compacted_path = path / "compacted"

    @staticmethod
    def check(path: Path) -> None:
        """Raises OSError if the folder is not writable."""
        with _lock_file(path):
            pass

    def publish(self, families: list[Family], report: Mapping[str, bytes]) -> None:
        """Replace the file of this process atomically. On OSError the previous file remains."""
        path = self._path / f"{self._name}.metrics"
        with ExitStack() as stack:
            with replacing(path, draft=path.with_suffix(".part")) as draft:
                file = stack.enter_context(draft.open("wb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before the file is visible to others
                file.write(msgspec.msgpack.encode(_Published(families, report)))
                file.flush()
            stack.pop_all()
        self.release()
        self._file = file

    def release(self) -> None:
        """Release the lock: the process counts as exited."""
        held, self._file = self._file, None
        if held is not None:
            held.close()

    def others(self) -> list[Family]:
        """The metrics of all other processes. Never blocks on a lock, which a hung process may hold."""
        families: list[Family] = []
        for _ in range(ATTEMPTS):
            with ExitStack() as stack:
                file = None
                with suppress(OSError):
                    file = stack.enter_context(self._compacted_path.open("rb"))
                compacted = _decode_compacted(file)
                families = [*compacted.families, *self._read_files(set(compacted.files))]
                if _is_same_file(self._compacted_path, file):
                    break  # otherwise files were compacted in the meantime, and may be counted twice or missed
        return families

    def reports(self) -> list[Mapping[str, bytes]]:
        """The reports of all other live processes."""
        found = []
        for file in self._files():
            with suppress(OSError):  # it was deleted
                if file.suffix == ".metrics" and file.stem != self._name and not (read := _read(file)).exited:
                    found.append(read.report)
        return [report for report in found if report]

    def compact(self) -> None:
        """Add the counters of exited processes to one file and delete their files, unless another process does so now.

        Safe to interrupt: the counters and the names of their files are written atomically.
        """
        with _lock_file(self._path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            with ExitStack() as stack:
                file = None
                with suppress(FileNotFoundError):
                    file = stack.enter_context(self._compacted_path.open("rb"))
                compacted = _decode_compacted(file)
            process_metrics = self._delete(compacted.files)
            read_files: list[str] = []
            families = merge([*compacted.families, *self._read_exited(set(process_metrics), read_files)])
            if read_files:
                with replacing(self._compacted_path, draft=self._compacted_path.with_suffix(".part")) as draft:
                    draft.write_bytes(msgspec.msgpack.encode(_Compacted([*process_metrics, *read_files], families)))
                self._delete(read_files)

    def _read_files(self, known: set[str]) -> Iterator[Family]:
        for file in self._files():
            if file.suffix == ".metrics" and file.name not in known and file.stem != self._name:
                with suppress(OSError):  # it was deleted
                    process_metrics = _read(file)
                    yield from _counters(process_metrics) if process_metrics.exited else process_metrics.families

    def _read_exited(self, known: set[str], read_files: list[str]) -> Iterator[Family]:
        """The counters of exited processes.

        The names of their files, also of unreadable ones, are appended to ``read_files``.
        """
        for file in self._files():
            with suppress(OSError):
                if (
                    file.name not in known
                    and (process_metrics := _read(file)).exited
                    and process_metrics.age > COMPACT_AFTER_SECONDS
                ):
                    read_files.append(file.name)
                    if file.suffix == ".metrics":
                        yield from _counters(process_metrics)

    def _files(self) -> list[Path]:
        """The files of processes. Other files are ignored."""
        with os.scandir(self._path) as entries:
            ours = [e.path for e in entries if _FILE.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
        return [Path(path) for path in sorted(ours)]

    def _delete(self, names: list[str]) -> list[str]:
        """Delete files. Returns the names of those that could not be deleted."""
        process_metrics = []
        for name in names:
            try:
                (self._path / name).unlink(missing_ok=True)
            except OSError:
                process_metrics.append(name)
        return process_metrics


def _add_series(merged: dict[tuple[str, ...], Series], added: Iterable[Series]) -> None:
    for one in added:
        key = tuple(one.labels.values())
        total = merged.get(key)
        if total is None:
            merged[key] = Series(one.labels, list(one.counts), one.sum, dict(one.examples))
            continue
        total.counts = [a + b for a, b in zip(total.counts, one.counts, strict=True)]
        total.sum += one.sum
        for bucket, example in one.examples.items():
            known = total.examples.get(bucket)
            if known is None or known.at < example.at:
                total.examples[bucket] = example


def _counters(process_metrics: _ProcessMetrics) -> list[Family]:
    return [family for family in process_metrics.families if family.kind not in _LIVE_ONLY]


def _read(path: Path) -> _ProcessMetrics:
    while True:
        with path.open("rb") as file:
            exited = True
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                exited = False
            if not exited or _is_same_file(path, file):  # otherwise its process has just replaced it
                content = _Published([], {})
                with suppress(msgspec.DecodeError, UnicodeDecodeError):  # truncated, or of another release
                    content = msgspec.msgpack.decode(file.read(), type=_Published)
                age = abs(time.time() - os.fstat(file.fileno()).st_mtime)
                return _ProcessMetrics(content.families, content.report, exited, age)


def _decode_compacted(file: IO[bytes] | None) -> _Compacted:
    if file is not None:
        try:
            return msgspec.msgpack.decode(file.read(), type=_Compacted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("metrics_file_unreadable", file=file.name, reason=str(error))
    return _Compacted([], [])


def _is_same_file(path: Path, file: IO[bytes] | None) -> bool:
    """Whether the path refers to this open file; for None, whether no file exists."""
    try:
        found = path.stat()
    except OSError:
        return file is None
    return file is not None and os.path.samestat(found, os.fstat(file.fileno()))


def _lock_file(path: Path) -> IO[bytes]:
    return (path / "lock").open("ab")
