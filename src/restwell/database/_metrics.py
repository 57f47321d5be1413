"""Prometheus metrics of connection pools and named queries."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database._facade import Database, PoolStats
from restwell.database._instrumentation import totals
from restwell.observability._metric_families import counter, gauge

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


class DatabaseCollector(Collector):
    """Collects the metrics at each scrape."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        queries = totals()
        executions = {name: total.executions for name, total in list(queries.items())}
        yield counter("restwell_db_queries", "Executions of a named query.", executions, ["query"])
        seconds = {name: total.seconds for name, total in list(queries.items())}
        text = "Total duration of a named query, including the wait for a connection."
        yield counter("restwell_db_query_seconds", text, seconds, ["query"])
        pools = self._database.pool_stats()
        for name, text in _GAUGES.items():
            yield gauge(f"restwell_db_pool_{name}", text, _values(pools, name), ["server"])
        for name, text in _COUNTERS.items():
            yield counter(f"restwell_db_pool_{name}", text, _values(pools, name), ["server"])


def _values(pools: dict[str, PoolStats], metric: str) -> dict[str, float]:
    return {server: float(getattr(stats, metric)) for server, stats in pools.items()}
