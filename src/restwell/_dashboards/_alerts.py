"""Alerts of Prometheus. ``docs/runbook.md`` says for each what it means and what to do."""

import json
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from restwell._dashboards._boards import JOB, NOT_PROBES, share_of_reads
from restwell._dashboards._promql import Source
from restwell.auth._login_failures import LOGIN_FAILURES
from restwell.database._metrics import POOL_COUNTERS, POOL_GAUGES, QUERY_DURATION
from restwell.edge._concurrency_limiter import SHED
from restwell.edge._request_metrics import ACTIVE, CALL_DURATION, DURATION
from restwell.events._metrics import FAILING, OLDEST_UNREAD
from restwell.jobs import JobState
from restwell.jobs._metrics import BACKLOG, OLDEST_READY
from restwell.observability._log_output import LINES_DROPPED
from restwell.observability._watchdog import BLOCKED_SECONDS
from restwell.rate_limits._limiter import DEGRADED

_over: Final = Source("", "5m")


class Alert(NamedTuple):
    """``condition`` has {} in the place of ``measured``, which returns a series also while all is well.

    A ``page`` wakes a person; a ``ticket`` is for the next working day. ``summary`` is a template of Prometheus.
    """

    name: str
    measured: str
    condition: str
    minutes: int
    severity: Literal["page", "ticket"]
    summary: str

    @property
    def expression(self) -> str:
        return self.condition.format(self.measured)


FAILED_CALLS: Final = "DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE"
_DEAD: Final = f'state="{JobState.DEAD.value}"'

ALERTS: Final = [
    Alert(
        "RestwellNoMetrics",
        _over.value(ACTIVE),
        "absent({})",
        5,
        "page",
        "No server of the kit has been scraped for five minutes",
    ),
    Alert(
        "RestwellErrors",
        _over.ratio(DURATION, JOB, part="_count", where='http_response_status_class="5xx"', among=NOT_PROBES),
        "{} > 0.05",
        5,
        "page",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail",
    ),
    Alert(
        "RestwellGrpcErrors",
        _over.ratio(CALL_DURATION, JOB, part="_count", where=f'rpc_response_status_code=~"{FAILED_CALLS}"'),
        "{} > 0.05",
        5,
        "page",
        "{{ $value | humanizePercentage }} of the calls of gRPC to {{ $labels.job }} fail",
    ),
    Alert(
        "RestwellSlowRequests",
        _over.quantile(0.95, DURATION, JOB, where=NOT_PROBES),
        "{} > 1",
        10,
        "page",
        "One in twenty requests to {{ $labels.job }} takes more than {{ $value | humanizeDuration }}",
    ),
    Alert(
        "RestwellDatabaseUnavailable",
        _over.value(POOL_GAUGES["breaker_open"], JOB, "server"),
        "{} > 0",
        1,
        "page",
        "{{ $labels.job }} cannot reach the database ({{ $labels.server }})",
    ),
    Alert(
        "RestwellConnectionsExhausted",
        _over.rate(POOL_COUNTERS["wait_timeouts"], JOB, "server"),
        "{} > 0",
        5,
        "page",
        "Requests to {{ $labels.job }} get no database connection in time ({{ $labels.server }})",
    ),
    Alert(
        "RestwellSlowQuery",
        _over.quantile(0.95, QUERY_DURATION, JOB, "db_query_summary"),
        "{} > 1",
        10,
        "ticket",
        "The query {{ $labels.db_query_summary }} of {{ $labels.job }} takes {{ $value | humanizeDuration }}",
    ),
    Alert(
        "RestwellOverloaded",
        _over.rate(SHED, JOB),
        "{} > 0",
        5,
        "page",
        "{{ $labels.job }} rejects {{ $value | humanize }} requests a second because it is overloaded",
    ),
    Alert(
        "RestwellEventLoopBlocked",
        _over.rate(BLOCKED_SECONDS, JOB),
        "{} > 0.05",
        10,
        "ticket",
        "The event loops of {{ $labels.job }} are blocked for {{ $value | humanizeDuration }} a second",
    ),
    Alert(
        "RestwellJobsWaiting",
        _over.value(OLDEST_READY, JOB, "queue", function="max"),
        "{} > 300",
        10,
        "page",
        "A job in the queue {{ $labels.queue }} of {{ $labels.job }} has waited for {{ $value | humanizeDuration }}",
    ),
    Alert(
        "RestwellJobsDead",
        f"{_over.value(BACKLOG, JOB, 'queue', where=_DEAD, function='max')}"
        f" or {_over.value(BACKLOG, JOB, 'queue', function='max')} * 0",
        "({}) > 0",
        0,
        "ticket",
        "{{ $value }} jobs in the queue {{ $labels.queue }} of {{ $labels.job }} have failed for the last time",
    ),
    Alert(
        "RestwellEventsWaiting",
        _over.value(OLDEST_UNREAD, JOB, "consumer", function="max"),
        "{} > 300",
        10,
        "page",
        "The consumer {{ $labels.consumer }} of {{ $labels.job }} is {{ $value | humanizeDuration }} behind",
    ),
    Alert(
        "RestwellEventsFailing",
        _over.value(FAILING, JOB, "consumer", function="max"),
        "{} > 0",
        5,
        "ticket",
        "The consumer {{ $labels.consumer }} of {{ $labels.job }} cannot apply {{ $value }} events",
    ),
    Alert(
        "RestwellCacheBypassed",
        share_of_reads(_over, ("bypasses",), JOB),
        "{} > 0.5",
        10,
        "ticket",
        "{{ $value | humanizePercentage }} of the reads of {{ $labels.job }} bypass the cache",
    ),
    Alert(
        "RestwellRateLimitsDegraded",
        _over.value(DEGRADED, JOB),
        "{} > 0",
        10,
        "ticket",
        "{{ $labels.job }} limits rates on each machine alone, because Redis is unavailable",
    ),
    Alert(
        "RestwellLoginFailures",
        _over.rate(LOGIN_FAILURES, JOB),
        "{} > 1",
        10,
        "ticket",
        "{{ $value | humanize }} sign-ins a second to {{ $labels.job }} fail",
    ),
    Alert(
        "RestwellLogLinesDropped",
        _over.rate(LINES_DROPPED, JOB),
        "{} > 0",
        5,
        "ticket",
        "{{ $labels.job }} loses log lines",
    ),
]


def rules(runbook: str, alerts: Iterable[Alert] = ALERTS) -> str:
    """The file of rules. ``runbook`` is the address of the document with an entry for each alert."""
    lines = ["groups:", "  - name: restwell", "    rules:"]
    for alert in alerts:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.expression)}",
            f"        for: {alert.minutes}m",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          runbook_url: {json.dumps(f'{runbook}#{alert.name.lower()}')}",
        ]
    return "\n".join([*lines, ""])
