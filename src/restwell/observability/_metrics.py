"""Prometheus metrics, aggregated over all workers of a server.

Each worker keeps its own registry and publishes it to a shared folder every PUBLISH_SECONDS, with its report. The
worker that serves a scrape adds the metrics of the others to its own. So requests share no state, and a scrape is at
most PUBLISH_SECONDS late.
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

from restwell.observability._metrics_folder import Family, Kind, MetricsFolder, merge
from restwell.observability._process_reports import ProcessReports, Report

log = structlog.get_logger("restwell.metrics")

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PUBLISH_SECONDS: Final = 1.0


class Metrics:
    """The ``registry`` of one worker, and the metrics of all workers that share ``folder``."""

    def __init__(self, folder: Path | None) -> None:
        self.registry = CollectorRegistry()
        self.reports = ProcessReports()
        self._folder = MetricsFolder(folder) if folder is not None else None
        self._publishing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._publish_failed = False

    async def start(self) -> None:
        """Publish the metrics, then again every PUBLISH_SECONDS."""
        if self._publishing is None and self._folder is not None:
            self._closing = asyncio.Event()
            await self._publish(self._folder)
            self._publishing = asyncio.create_task(self._publish_until_closed(self._folder))

    async def close(self) -> None:
        """Publish a last time and stop."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None and self._folder is not None:
            self._closing.set()
            await publishing
            self._folder.release()

    async def exposition(self, extra: Iterable[Metric] = ()) -> bytes:
        """The metrics of all workers in the Prometheus text format. ``extra`` metrics are not aggregated."""
        others = await asyncio.to_thread(_collect_others, self._folder) if self._folder is not None else []
        return generate_latest(_MergedCollector([*_families(self.registry.collect()), *_families(extra), *others]))

    async def process_reports(self) -> list[Report]:
        """The reports of all live processes that share the folder, this one first."""
        others: list[Report] = []
        if self._folder is not None:
            with suppress(OSError):
                others = await asyncio.to_thread(self._folder.reports)
        return [self.reports.own(), *others]

    async def _publish_until_closed(self, folder: MetricsFolder) -> None:
        await asyncio.to_thread(_compact, folder)
        closed = False
        while not closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._closing.wait()
            closed = self._closing.is_set()
            await self._publish(folder)

    async def _publish(self, folder: MetricsFolder) -> None:
        """Publish to the folder. An error is logged, and retried with the next publication."""
        try:
            await asyncio.to_thread(folder.publish, _families(self.registry.collect()), self.reports.own())
        except OSError as error:
            if not self._publish_failed:
                log.warning("metrics_publish_failed", reason=str(error))
            self._publish_failed = True
        else:
            self._publish_failed = False


def _collect_others(folder: MetricsFolder) -> list[Family]:
    _compact(folder)
    with suppress(OSError):
        return folder.others()
    return []


def _compact(folder: MetricsFolder) -> None:
    with suppress(OSError):  # retried at the next scrape
        folder.compact()


def _families(metrics: Iterable[Metric]) -> list[Family]:
    return [
        Family(one.name, one.documentation, cast(Kind, one.type), [(s.name, s.labels, s.value) for s in one.samples])
        for one in metrics
    ]


class _MergedCollector(Collector):
    """Metric families of several workers, merged by name."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in merge(self._families):
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                metric.add_sample(*sample)
            yield metric
