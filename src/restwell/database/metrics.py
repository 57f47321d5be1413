"""What the database layer knows of itself, as metrics: each pool, each named query."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database.facade import Database, PoolStats
from restwell.database.instrumentation import totals

_GAUGES = {
    "size": "Connections there may be.",
    "open": "Connections there are.",
    "in_use": "Connections lent out.",
    "waiting": "Callers who wait for a connection.",
    "breaker_open": "Pools that refuse at once, because the server kept failing.",
}
_COUNTERS = {
    "waits": "How often a caller had to wait for a connection.",
    "wait_seconds": "For how long they waited, in all.",
    "wait_timeouts": "How often none came in time.",
    "statement_timeouts": "How often the server did not answer in time.",
    "failures": "How often the server refused a connection, ended one, or did not answer.",
}


class DatabaseCollector(Collector):
    """Read when it is asked for; a request pays for counting only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        yield from _of_queries()
        pools = self._database.pool_stats()
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"restwell_db_pool_{name}", text, labels=["server"])
            yield _filled(gauge, name, pools)
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"restwell_db_pool_{name}", text, labels=["server"])
            yield _filled(counter, name, pools)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, name: str, pools: dict[str, PoolStats]
) -> GaugeMetricFamily | CounterMetricFamily:
    for server, figures in pools.items():
        family.add_metric([server], float(getattr(figures, name)))
    return family


def _of_queries() -> Iterator[Metric]:
    executions = CounterMetricFamily("restwell_db_queries", "Executions of a named query.", labels=["query"])
    seconds = CounterMetricFamily("restwell_db_query_seconds", "Time they took, waiting included.", labels=["query"])
    for query, total in totals().items():
        executions.add_metric([query], total.executions)
        seconds.add_metric([query], total.seconds)
    yield executions
    yield seconds
