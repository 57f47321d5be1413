"""Prometheus metrics of connection pools and named queries."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database._facade import Database, PoolStats
from restwell.database._instrumentation import totals

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
        yield from _query_metrics()
        pools = self._database.pool_stats()
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"restwell_db_pool_{name}", text, labels=["server"])
            yield _with_samples(gauge, name, pools)
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"restwell_db_pool_{name}", text, labels=["server"])
            yield _with_samples(counter, name, pools)


def _with_samples(
    family: GaugeMetricFamily | CounterMetricFamily, name: str, pools: dict[str, PoolStats]
) -> GaugeMetricFamily | CounterMetricFamily:
    for server, stats in pools.items():
        family.add_metric([server], float(getattr(stats, name)))
    return family


def _query_metrics() -> Iterator[Metric]:
    executions = CounterMetricFamily("restwell_db_queries", "Executions of a named query.", labels=["query"])
    seconds = CounterMetricFamily(
        "restwell_db_query_seconds",
        "Total duration of a named query, including the wait for a connection.",
        labels=["query"],
    )
    for query, total in totals().items():
        executions.add_metric([query], total.executions)
        seconds.add_metric([query], total.seconds)
    yield executions
    yield seconds
