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
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of
from prometheus_client.registry import Collector

from restwell.observability._metric_families import HistogramFamily
from restwell.observability._metrics_folder import Family, Kind, MetricsFolder, merge
from restwell.observability._process_reports import ProcessReports, Report

log = structlog.get_logger("restwell.metrics")

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The format with exemplars, which Prometheus asks for."""
PUBLISH_SECONDS: Final = 1.0


class Metrics:
    """The ``registry`` of one worker, and the metrics of all workers that share ``folder``."""

    def __init__(self, folder: Path | None) -> None:
        self.registry: CollectorRegistry = _Registry()
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

    async def exposition(self, extra: Iterable[Metric] = (), *, openmetrics: bool = False) -> bytes:
        """The metrics of all workers in the Prometheus text format, or in OpenMetrics.

        ``extra`` metrics are not aggregated.
        """
        families = [*_families(self.registry.collect()), *_families(extra)]
        return await asyncio.to_thread(_generate, families, self._folder, openmetrics=openmetrics)

    async def families(self, prefix: str | tuple[str, ...]) -> list[Family]:
        """The metrics of all workers whose names begin so, except gauges of other parts that a scrape adds."""
        own = [each for each in _families(self.registry.collect()) if each.name.startswith(prefix)]
        others = await asyncio.to_thread(_collect_others, self._folder) if self._folder is not None else []
        return merge([*own, *(each for each in others if each.name.startswith(prefix))])

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
        """Publish to the folder. An error is logged once, and retried with the next publication."""
        try:
            await asyncio.to_thread(folder.publish, _families(self.registry.collect()), self.reports.own())
        except Exception as error:  # noqa: BLE001  # publishing goes on
            if not self._publish_failed:
                log.warning("metrics_publish_failed", reason=repr(error))
            self._publish_failed = True
        else:
            self._publish_failed = False


class _Registry(CollectorRegistry):
    """Leaves out a collector that raises, and logs that once for each."""

    def __init__(self) -> None:
        super().__init__()
        self._collectors: list[Collector] = []
        self._failed: list[Collector] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        self._collectors.append(collector)

    def unregister(self, collector: Collector) -> None:
        super().unregister(collector)
        self._collectors.remove(collector)

    def collect(self) -> Iterator[Metric]:
        for collector in list(self._collectors):
            try:
                found = list(collector.collect())
            except Exception:  # the other metrics are published all the same
                if collector not in self._failed:
                    self._failed.append(collector)
                    log.exception("collector_failed", collector=type(collector).__qualname__)
            else:
                yield from found


def _generate(families: list[Family], folder: MetricsFolder | None, *, openmetrics: bool) -> bytes:
    others = _collect_others(folder) if folder is not None else []
    merged = _MergedCollector([*families, *others])
    if openmetrics:
        exposed: bytes = openmetrics_of(merged)  # type: ignore[no-untyped-call]  # untyped in prometheus_client
        return exposed
    return generate_latest(merged)


def _collect_others(folder: MetricsFolder) -> list[Family]:
    _compact(folder)
    with suppress(OSError):
        return folder.others()
    return []


def _compact(folder: MetricsFolder) -> None:
    with suppress(OSError):  # retried at the next scrape
        folder.compact()


def _families(metrics: Iterable[Metric]) -> list[Family]:
    return [_family(metric) for metric in metrics]


def _family(metric: Metric) -> Family:
    family = Family(metric.name, metric.documentation, cast(Kind, metric.type), [])
    if isinstance(metric, HistogramFamily):
        family.bounds, family.series = list(metric.bounds), list(metric.series)
    else:
        family.samples = [(sample.name, sample.labels, sample.value) for sample in metric.samples]
    return family


class _MergedCollector(Collector):
    """Metric families of several workers, merged by name."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in merge(self._families):
            if family.series:
                yield HistogramFamily(family.name, family.text, family.bounds, family.series)
                continue
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                metric.add_sample(*sample)
            yield metric
