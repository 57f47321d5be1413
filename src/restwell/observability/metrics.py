"""Metrics in Prometheus' format: those of all workers of a server together, whichever of them is asked.

Each worker counts for itself and once a second leaves what it has in a folder that they share. The one that is asked adds the
others' to its own. So nothing is shared on the way of a request, and a scrape is at most a second behind.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability.metrics_folder import Family, Kind, MetricsFolder, merge

log = structlog.get_logger("restwell.metrics")

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
PUBLISH_SECONDS: Final = 1.0


class Metrics:
    """One worker's ``registry``, and what all workers that share ``folder`` have counted."""

    def __init__(self, folder: Path | None) -> None:
        self.registry = CollectorRegistry()
        self._folder = MetricsFolder(folder) if folder is not None else None
        self._publishing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._failed = False

    async def start(self) -> None:
        """Leave the first ones at once, and go on."""
        if self._publishing is None and self._folder is not None:
            self._closing = asyncio.Event()
            await self._publish(self._folder)
            self._publishing = asyncio.create_task(self._publish_until_closed(self._folder))

    async def close(self) -> None:
        """Leave the last ones."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None and self._folder is not None:
            self._closing.set()
            await publishing
            self._folder.release()

    async def exposition(self, extra: Iterable[Metric] = ()) -> bytes:
        """The metrics of all workers, as Prometheus reads them; ``extra`` is true of all of them together."""
        others = await asyncio.to_thread(_others, self._folder) if self._folder is not None else []
        return generate_latest(_Together([*_families(self.registry.collect()), *_families(extra), *others]))

    async def _publish_until_closed(self, folder: MetricsFolder) -> None:
        await asyncio.to_thread(_fold, folder)
        closed = False
        while not closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._closing.wait()
            closed = self._closing.is_set()
            await self._publish(folder)

    async def _publish(self, folder: MetricsFolder) -> None:
        """A full disk costs metrics, nothing else."""
        try:
            await asyncio.to_thread(folder.publish, _families(self.registry.collect()))
        except OSError as error:
            if not self._failed:
                log.warning("metrics_not_published", reason=str(error))
            self._failed = True
        else:
            self._failed = False


def _others(folder: MetricsFolder) -> list[Family]:
    _fold(folder)
    with suppress(OSError):
        return folder.others()
    return []


def _fold(folder: MetricsFolder) -> None:
    with suppress(OSError):  # another time, then
        folder.fold()


def _families(metrics: Iterable[Metric]) -> list[Family]:
    return [
        Family(one.name, one.documentation, cast(Kind, one.type), [(s.name, s.labels, s.value) for s in one.samples])
        for one in metrics
    ]


class _Together(Collector):
    """Families of several workers, those of a name added up."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in merge(self._families):
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                metric.add_sample(*sample)
            yield metric
