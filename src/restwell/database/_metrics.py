"""Prometheus metrics of connection pools and named queries."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database._facade import Database, PoolStats
from restwell.database._instrumentation import QUERY_BOUNDS, totals
from restwell.observability._metric_families import define_counter, define_gauge, define_histogram

_GAUGES = {
    "size": "Maximum number of connections.",
    "open": "Open connections.",
    "in_use": "Connections in use.",
    "waiting": "Callers waiting for a connection.",
    "breaker_open": "Whether the circuit breaker is open.",
}
_COUNTERS = {
    "waits": "Acquires that had to wait for a connection.",
    "wait_seconds": "Total time spent waiting for a connection.",
    "wait_timeouts": "Acquires that timed out.",
    "statement_timeouts": "Statements that timed out.",
    "failures": "Connections refused or closed by the server, and statements without a response.",
}
QUERY_DURATION: Final = define_histogram(
    "db_client_operation_duration_seconds",
    "Duration of named queries, including the wait for a connection.",
    "db_query_summary",
    "db_system_name",
    bounds=QUERY_BOUNDS,
)
"""Name, labels and buckets are those of OpenTelemetry's conventions. The summary is the name of the query."""
POOL_GAUGES: Final = {name: define_gauge(f"restwell_db_pool_{name}", text, "server") for name, text in _GAUGES.items()}
POOL_COUNTERS: Final = {
    name: define_counter(f"restwell_db_pool_{name}_total", text, "server") for name, text in _COUNTERS.items()
}


class DatabaseCollector(Collector):
    """Collects the metrics at each scrape."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        dialect = self._database.dialect
        yield QUERY_DURATION.histogram(((name, dialect), total) for name, total in list(totals().items()))
        pools = self._database.pool_stats()
        for name, metric in (*POOL_GAUGES.items(), *POOL_COUNTERS.items()):
            yield metric.family(_values(pools, name))


def _values(pools: dict[str, PoolStats], metric: str) -> dict[str, float]:
    return {server: float(getattr(stats, metric)) for server, stats in pools.items()}
