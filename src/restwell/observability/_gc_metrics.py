"""How long the garbage collector pauses the process."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import Histogram, define_histogram

PAUSE: Final = define_histogram(
    "restwell_gc_pause_seconds",
    "Duration of garbage collections. All threads of the process wait for one.",
    "generation",
    bounds=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
)


class GcMetrics(Collector):
    """Measures the collections between ``start`` and ``close``."""

    def __init__(self) -> None:
        self._pauses = [Histogram(PAUSE.bounds) for _ in range(3)]
        self._began = 0.0

    def start(self) -> None:
        if self._record not in gc.callbacks:
            gc.callbacks.append(self._record)

    def close(self) -> None:
        with suppress(ValueError):
            gc.callbacks.remove(self._record)

    def collect(self) -> Iterator[Metric]:
        yield PAUSE.histogram(([str(generation)], pauses) for generation, pauses in enumerate(self._pauses))

    def _record(self, phase: str, info: Mapping[str, Any]) -> None:
        """No collection starts during another, so one time is enough."""
        if phase == "start":
            self._began = perf_counter()
        else:
            self._pauses[info["generation"]].observe(perf_counter() - self._began)
