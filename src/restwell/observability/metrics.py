"""Metrics in Prometheus' format: those of all workers of a server together, whichever of them is asked.

Each worker counts for itself and once a second leaves what it has in a folder that they share. The one that is asked adds the
others' to its own. So nothing is shared on the way of a request, and a scrape is at most a second behind.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
PUBLISH_SECONDS: Final = 1.0
_PASSING: Final = frozenset({"gauge", "info", "stateset", "unknown"})
"""What is true of a process only while it lives; counts stay, or a rate would jump each time a worker is replaced."""


class _Family(Struct):
    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class Metrics:
    """One worker's ``registry``, and what all workers that share ``folder`` have counted."""

    def __init__(self, folder: Path | None) -> None:
        self.registry = CollectorRegistry()
        self._folder = folder
        self._file = folder / f"{os.getpid()}-{uuid4().hex}.metrics" if folder is not None else None
        self._publishing: asyncio.Task[None] | None = None

    @staticmethod
    def are_there_of(process: int, folder: Path) -> bool:
        """Whether that worker has left metrics in the folder: it has started, then."""
        return any(folder.glob(f"{process}-*.metrics"))

    async def start(self) -> None:
        """Leave the first ones at once, and go on."""
        if self._publishing is None and self._file is not None:
            await asyncio.to_thread(_write, self._file, self._encode())
            self._publishing = asyncio.create_task(self._publish_for_ever(self._file))

    async def close(self) -> None:
        publishing, self._publishing = self._publishing, None
        if publishing is not None and self._file is not None:
            publishing.cancel()
            with suppress(asyncio.CancelledError):
                await publishing
            await asyncio.to_thread(_write, self._file, self._encode())

    async def exposition(self, extra: Iterable[Metric] = ()) -> bytes:
        """The metrics of all workers, as Prometheus reads them; ``extra`` is true of all of them together."""
        others = await asyncio.to_thread(self._read_others)
        return generate_latest(_Together([*_families(self.registry.collect()), *_families(extra), *others]))

    def _encode(self) -> bytes:
        return msgspec.msgpack.encode(_families(self.registry.collect()))

    async def _publish_for_ever(self, file: Path) -> None:
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            with suppress(OSError):  # a full disk costs metrics, nothing else
                await asyncio.to_thread(_write, file, self._encode())

    def _read_others(self) -> list[_Family]:
        if self._folder is None:
            return []
        families: list[_Family] = []
        for file in sorted(self._folder.glob("*.metrics")):
            if file == self._file:
                continue
            lives = _lives(int(file.name.partition("-")[0]))
            with suppress(OSError, msgspec.DecodeError):  # it is gone, or from another release
                found = msgspec.msgpack.decode(file.read_bytes(), type=list[_Family])
                families += [family for family in found if lives or family.kind not in _PASSING]
        return families


def _families(metrics: Iterable[Metric]) -> list[_Family]:
    return [
        _Family(one.name, one.documentation, one.type, [(s.name, s.labels, s.value) for s in one.samples])
        for one in metrics
    ]


class _Together(Collector):
    """Families of several workers, those of a name added up."""

    def __init__(self, families: Iterable[_Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {}
        for family in self._families:
            merged.setdefault(family.name, Metric(family.name, family.text, family.kind))
            values = sums.setdefault(family.name, {})
            for name, labels, value in family.samples:
                key = (name, frozenset(labels.items()))
                values[key] = values.get(key, 0.0) + value
        for name, metric in merged.items():
            for (sample, labels_of), value in sums[name].items():
                metric.add_sample(sample, dict(sorted(labels_of)), value)
            yield metric


def _write(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".part")
    draft.write_bytes(content)
    draft.replace(file)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
