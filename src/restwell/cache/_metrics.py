"""Prometheus metrics of the cache. Their ``name`` label is a route, or the part of a key or tag before the colon."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import define_counter, define_gauge

_COUNTERS: Final = {
    "hits": "Reads served from level 1, the memory of the process.",
    "shared_hits": "Reads served from level 2, with a value that another process stored.",
    "loads": "Values loaded from the database.",
    "waits": "Reads that waited for a load in progress, in this process or another.",
    "stale_prevented": "Cached values that were not used because a write had invalidated them.",
    "bypasses": "Reads that bypassed the cache: a write was in progress, or the store was unavailable.",
    "evictions": "Entries evicted from level 1.",
}
_GAUGES: Final = {"entries": "Entries in level 1.", "bytes": "Estimated memory of the entries in level 1, in bytes."}
COUNTERS: Final = {
    name: define_counter(f"restwell_cache_{name}_total", text, "name") for name, text in _COUNTERS.items()
}
GAUGES: Final = {name: define_gauge(f"restwell_cache_{name}", text, "name") for name, text in _GAUGES.items()}
INVALIDATIONS: Final = define_counter("restwell_cache_invalidations_total", "Invalidated tags.", "name")
UP: Final = define_gauge("restwell_cache_up", "Processes that use the cache.")


class CacheStats:
    """The counters and gauges of one name."""

    __slots__ = (*_COUNTERS, *_GAUGES)

    def __init__(self) -> None:
        self.hits = self.shared_hits = self.loads = self.waits = self.stale_prevented = self.bypasses = 0
        self.evictions = self.entries = self.bytes = 0


class CacheCollector(Collector):
    def __init__(self, is_up: Callable[[], bool]) -> None:
        self._is_up = is_up
        self.stats: defaultdict[str, CacheStats] = defaultdict(CacheStats)
        self.invalidations: defaultdict[str, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
        for name, metric in (*COUNTERS.items(), *GAUGES.items()):
            yield metric.family(self._values(name))
        yield INVALIDATIONS.family(self.invalidations)
        yield UP.family(float(self._is_up()))

    def _values(self, metric: str) -> dict[str, float]:
        return {name: getattr(stats, metric) for name, stats in list(self.stats.items())}
