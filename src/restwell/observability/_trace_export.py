"""Hands traces to an exporter in one thread, through a bounded queue. A collector that fails delays no request."""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import define_counter
from restwell.observability._recent_requests import Ended

log = structlog.get_logger("restwell.traces")

MAX_QUEUED: Final = 512
"""The number of traces that wait. Further ones are dropped and counted."""
MAX_BATCH: Final = 64
INTERVAL_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 2.0
"""How long the end of the process waits for the last traces."""

EXPORTED: Final = define_counter("restwell_traces_exported_total", "Traces that the collector has accepted.")
DROPPED: Final = define_counter(
    "restwell_traces_dropped_total",
    "Traces that were not exported: the queue was full, or the collector did not accept them.",
    "reason",
)


class Sender(Protocol):
    def send(self, traces: Sequence[Ended]) -> str | None:
        """Send the traces. Blocks. Returns why the collector did not accept them, or None. Raises nothing."""

    def close(self) -> None:
        """Make a running ``send`` return soon."""


class TraceExport(Collector):
    """``start`` it in the process that exports, ``close`` it at the end."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._queue: deque[Ended] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._exported = 0
        self._dropped = Counter(queue_full=0, collector=0, shutdown=0)
        self._is_failing = False

    def collect(self) -> Iterator[Metric]:
        yield EXPORTED.family(self._exported)
        yield DROPPED.family(dict(self._dropped))

    def add(self, ended: Ended) -> None:
        """Queue a trace. Never blocks, never raises."""
        if len(self._queue) >= MAX_QUEUED:
            self._dropped["queue_full"] += 1
            return
        self._queue.append(ended)
        if len(self._queue) == MAX_BATCH:
            self._wake.set()

    def start(self) -> None:
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send what is queued, for at most FLUSH_SECONDS. Blocks."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing = True
        self._wake.set()
        thread.join(FLUSH_SECONDS)
        self._sender.close()
        if thread.is_alive() or self._queue:
            lost = len(self._queue)
            self._dropped["shutdown"] += lost
            log.warning("traces_not_exported", queued=lost)

    def _run(self) -> None:
        while True:
            self._wake.wait(INTERVAL_SECONDS)
            self._wake.clear()
            closing = self._closing
            while self._queue:
                self._send([self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))])
                if self._closing and self._is_failing:
                    return
            if closing:
                return

    def _send(self, batch: Sequence[Ended]) -> None:
        reason = self._sender.send(batch)
        if reason is None:
            self._exported += len(batch)
            if self._is_failing:
                log.info("trace_export_restored")
        else:
            self._dropped["collector"] += len(batch)
            if not self._is_failing:  # once, not for each batch
                log.warning("trace_export_failed", reason=reason)
        self._is_failing = reason is not None
