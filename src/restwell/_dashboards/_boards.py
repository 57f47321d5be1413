"""The dashboards: requests, database, cache, jobs and limits."""

from typing import Final, NamedTuple

from restwell._dashboards._promql import Source
from restwell.auth._login_failures import LOGIN_FAILURES
from restwell.cache._metrics import COUNTERS as CACHE
from restwell.cache._metrics import GAUGES as CACHE_SIZE
from restwell.cache._metrics import INVALIDATIONS, UP
from restwell.database._metrics import POOL_COUNTERS as POOL
from restwell.database._metrics import POOL_GAUGES, QUERY_DURATION
from restwell.edge._concurrency_limiter import LIMIT, QUEUED, RUNNING, SHED
from restwell.edge._request_metrics import ACTIVE, BODY_SIZE, CALL_DURATION, DURATION
from restwell.events._metrics import FAILING, OLDEST_UNREAD, UNREAD
from restwell.jobs._metrics import ATTEMPT_DURATION, BACKLOG, OLDEST_READY
from restwell.observability._gc_metrics import PAUSE
from restwell.observability._watchdog import BLOCKED_SECONDS, DELAY
from restwell.rate_limits._limiter import DEGRADED, LIMITED
from restwell.web._dispatch import IDEMPOTENCY_REPLAYS

JOB: Final = "job"
"""The label of Prometheus that tells applications apart."""
NOT_PROBES: Final = 'http_route!~"/health/.*|/metrics"'
ROUTE: Final = ("http_request_method", "http_route")
_ROUTE_LEGEND: Final = "{{http_request_method}} {{http_route}}"

_in_grafana: Final = Source('job=~"$job"', "$__rate_interval")
_rate, _ratio, _value = _in_grafana.rate, _in_grafana.ratio, _in_grafana.value
_quantile, _mean = _in_grafana.quantile, _in_grafana.mean


class Query(NamedTuple):
    expression: str
    legend: str


class Panel(NamedTuple):
    """``unit`` is one of Grafana's: s, bytes, reqps (requests per second), ops, percentunit (0 to 1) or short."""

    title: str
    unit: str
    queries: list[Query]
    exemplars: bool = False


class Board(NamedTuple):
    name: str
    panels: list[Panel]


def _quantiles(*arguments: str) -> list[Query]:
    where = ",".join(arguments)
    return [Query(_quantile(each, DURATION, where=where), f"p{each * 100:.0f}") for each in (0.5, 0.95, 0.99)]


def share_of_reads(source: Source, kinds: tuple[str, ...], by: str) -> str:
    """The share of these kinds among all reads through the cache."""
    every = " + ".join(source.rate(CACHE[kind], by) for kind in ("hits", "shared_hits", "loads", "bypasses"))
    return f"({' + '.join(source.rate(CACHE[kind], by) for kind in kinds)}) / ({every})"


BOARDS: Final = [
    Board(
        "requests",
        [
            Panel(
                "Requests by class of the status",
                "reqps",
                [
                    Query(
                        _rate(DURATION, "http_response_status_class", part="_count", where=NOT_PROBES),
                        "{{http_response_status_class}}",
                    )
                ],
            ),
            Panel(
                "Share of requests that failed (5xx)",
                "percentunit",
                [
                    Query(
                        _ratio(DURATION, part="_count", where='http_response_status_class="5xx"', among=NOT_PROBES),
                        "5xx",
                    )
                ],
            ),
            Panel("Duration", "s", _quantiles(NOT_PROBES), exemplars=True),
            Panel(
                "Requests in progress",
                "short",
                [Query(_value(ACTIVE, "http_request_method"), "{{http_request_method}}")],
            ),
            Panel(
                "95th percentile of the duration by route",
                "s",
                [Query(f"topk(10, {_quantile(0.95, DURATION, *ROUTE, where=NOT_PROBES)})", _ROUTE_LEGEND)],
            ),
            Panel(
                "Requests by route",
                "reqps",
                [Query(f"topk(10, {_rate(DURATION, *ROUTE, part='_count')})", _ROUTE_LEGEND)],
            ),
            Panel(
                "Share of requests that failed (5xx) by route",
                "percentunit",
                [
                    Query(
                        _ratio(DURATION, *ROUTE, part="_count", where='http_response_status_class="5xx"'), _ROUTE_LEGEND
                    )
                ],
            ),
            Panel(
                "Calls of gRPC by status",
                "reqps",
                [
                    Query(
                        _rate(CALL_DURATION, "rpc_response_status_code", part="_count"), "{{rpc_response_status_code}}"
                    )
                ],
            ),
            Panel(
                "95th percentile of the duration of gRPC by method",
                "s",
                [Query(f"topk(10, {_quantile(0.95, CALL_DURATION, 'rpc_method')})", "{{rpc_method}}")],
            ),
            Panel("Response bodies", "Bps", [Query(_rate(BODY_SIZE, part="_sum"), "sent")]),
            Panel(
                "Delay of the event loop",
                "s",
                [Query(_quantile(0.5, DELAY), "p50"), Query(_quantile(0.99, DELAY), "p99")],
            ),
            Panel("Time that event loops were blocked, per second", "s", [Query(_rate(BLOCKED_SECONDS), "blocked")]),
            Panel(
                "Pauses of the garbage collector, per second",
                "s",
                [Query(_rate(PAUSE, "generation", part="_sum"), "generation {{generation}}")],
            ),
        ],
    ),
    Board(
        "database",
        [
            Panel(
                "Time spent in queries, per second",
                "s",
                [Query(f"topk(10, {_rate(QUERY_DURATION, 'db_query_summary', part='_sum')})", "{{db_query_summary}}")],
            ),
            Panel(
                "95th percentile of the duration by query",
                "s",
                [Query(f"topk(10, {_quantile(0.95, QUERY_DURATION, 'db_query_summary')})", "{{db_query_summary}}")],
            ),
            Panel(
                "Queries",
                "ops",
                [
                    Query(
                        f"topk(10, {_rate(QUERY_DURATION, 'db_query_summary', part='_count')})", "{{db_query_summary}}"
                    )
                ],
            ),
            Panel(
                "Connections",
                "short",
                [
                    Query(_value(POOL_GAUGES[name], "server"), f"{{{{server}}}} {text}")
                    for name, text in (
                        ("in_use", "in use"),
                        ("open", "open"),
                        ("size", "limit"),
                        ("waiting", "waiting"),
                    )
                ],
            ),
            Panel(
                "Time spent waiting for a connection, per second",
                "s",
                [Query(_rate(POOL["wait_seconds"], "server"), "{{server}}")],
            ),
            Panel(
                "Timeouts and failures",
                "ops",
                [
                    Query(_rate(POOL[name], "server"), f"{{{{server}}}} {text}")
                    for name, text in (
                        ("wait_timeouts", "no connection in time"),
                        ("statement_timeouts", "statement timed out"),
                        ("failures", "connection failed"),
                    )
                ],
            ),
            Panel(
                "Open circuit breakers", "short", [Query(_value(POOL_GAUGES["breaker_open"], "server"), "{{server}}")]
            ),
        ],
    ),
    Board(
        "cache",
        [
            Panel(
                "Share of reads answered by the cache",
                "percentunit",
                [
                    Query(
                        share_of_reads(_in_grafana, ("hits", "shared_hits"), "name"),
                        "{{name}}",
                    )
                ],
            ),
            Panel(
                "Reads",
                "ops",
                [
                    Query(_rate(CACHE[name]), text)
                    for name, text in (
                        ("hits", "level 1"),
                        ("shared_hits", "level 2"),
                        ("loads", "loaded"),
                        ("waits", "waited for a load"),
                        ("bypasses", "bypassed"),
                    )
                ],
            ),
            Panel("Invalidated tags", "ops", [Query(_rate(INVALIDATIONS, "name"), "{{name}}")]),
            Panel(
                "Stale values that were not used", "ops", [Query(_rate(CACHE["stale_prevented"], "name"), "{{name}}")]
            ),
            Panel("Memory of level 1", "bytes", [Query(_value(CACHE_SIZE["bytes"], "name"), "{{name}}")]),
            Panel("Entries of level 1", "short", [Query(_value(CACHE_SIZE["entries"], "name"), "{{name}}")]),
            Panel("Evictions", "ops", [Query(_rate(CACHE["evictions"], "name"), "{{name}}")]),
            Panel("Processes that use the cache", "short", [Query(_value(UP), "processes")]),
        ],
    ),
    Board(
        "jobs",
        [
            Panel(
                "Age of the oldest ready job", "s", [Query(_value(OLDEST_READY, "queue", function="max"), "{{queue}}")]
            ),
            Panel("Jobs", "short", [Query(_value(BACKLOG, "queue", "state", function="max"), "{{queue}} {{state}}")]),
            Panel(
                "Attempts by outcome", "ops", [Query(_rate(ATTEMPT_DURATION, "outcome", part="_count"), "{{outcome}}")]
            ),
            Panel(
                "Share of attempts that failed",
                "percentunit",
                [
                    Query(
                        _ratio(ATTEMPT_DURATION, "job_name", part="_count", where='outcome=~"failed|dead|lost"'),
                        "{{job_name}}",
                    )
                ],
            ),
            Panel(
                "95th percentile of the duration",
                "s",
                [Query(_quantile(0.95, ATTEMPT_DURATION, "job_name"), "{{job_name}}")],
            ),
            Panel("Mean duration", "s", [Query(_mean(ATTEMPT_DURATION, "job_name"), "{{job_name}}")]),
            Panel(
                "Age of the oldest unread event",
                "s",
                [Query(_value(OLDEST_UNREAD, "consumer", function="max"), "{{consumer}}")],
            ),
            Panel("Unread events", "short", [Query(_value(UNREAD, "consumer", function="max"), "{{consumer}}")]),
            Panel("Failing events", "short", [Query(_value(FAILING, "consumer", function="max"), "{{consumer}}")]),
        ],
    ),
    Board(
        "limits",
        [
            Panel("Requests rejected by a rate limit", "reqps", [Query(_rate(LIMITED, "rate"), "{{rate}}")]),
            Panel("Processes that limit without Redis", "short", [Query(_value(DEGRADED), "processes")]),
            Panel(
                "Concurrent requests",
                "short",
                [
                    Query(_value(RUNNING), "running"),
                    Query(_value(QUEUED, "kind"), "waiting {{kind}}"),
                    Query(_value(LIMIT), "limit"),
                ],
            ),
            Panel("Requests rejected under overload", "reqps", [Query(_rate(SHED, "kind"), "{{kind}}")]),
            Panel("Failed sign-ins", "ops", [Query(_rate(LOGIN_FAILURES, "reason"), "{{reason}}")]),
            Panel(
                "Idempotent requests that were replayed",
                "reqps",
                [Query(_rate(IDEMPOTENCY_REPLAYS, "route"), "{{route}}")],
            ),
        ],
    ),
]
