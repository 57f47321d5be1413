"""What the cache has done, as metrics; ``name`` is a route, or what stands before the colon of a key or a tag."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_COUNTERS: Final = {
    "hits": "Answered with a value of this process.",
    "shared_hits": "Answered with a value that another process had kept.",
    "loads": "Read anew, for whoever asked meanwhile.",
    "waits": "Waited for a load that was under way, here or in another process.",
    "stale_prevented": "Values that were there and not used, because something had been written.",
    "bypasses": "Read past the cache: a write was under way, or the store could not be trusted.",
    "evictions": "Entries that had to leave level one.",
}
_GAUGES: Final = {"entries": "Entries in level one.", "bytes": "What they take, in bytes."}


class CacheStats:
    """Counts of one name."""

    __slots__ = (*_COUNTERS, *_GAUGES)

    def __init__(self) -> None:
        self.hits = self.shared_hits = self.loads = self.waits = self.stale_prevented = self.bypasses = 0
        self.evictions = self.entries = self.bytes = 0


class CacheCollector(Collector):
    """Read when it is asked for; a request pays for counting only."""

    def __init__(self, is_usable: Callable[[], bool]) -> None:
        self._is_usable = is_usable
        self.of: defaultdict[str, CacheStats] = defaultdict(CacheStats)
        self.invalidations: defaultdict[str, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
        yield from (self._by_name(CounterMetricFamily, counter, text) for counter, text in _COUNTERS.items())
        yield from (self._by_name(GaugeMetricFamily, gauge, text) for gauge, text in _GAUGES.items())
        invalidations = CounterMetricFamily("restwell_cache_invalidations", "Tags written to.", labels=["name"])
        for name, count in list(self.invalidations.items()):
            invalidations.add_metric([name], count)
        yield invalidations
        yield GaugeMetricFamily("restwell_cache_up", "Processes that use the cache.", value=float(self._is_usable()))

    def _by_name(
        self, kind: type[CounterMetricFamily] | type[GaugeMetricFamily], figure: str, text: str
    ) -> CounterMetricFamily | GaugeMetricFamily:
        family = kind(f"restwell_cache_{figure}", text, labels=["name"])
        for name, figures in list(self.of.items()):
            family.add_metric([name], getattr(figures, figure))
        return family
