"""Metrics of requests: rate, errors and duration, by route template, method and class of the status.

The names follow the semantic conventions of OpenTelemetry for HTTP servers. Health checks and scrapes are counted like
other routes: a failing or slow probe is what one looks for.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.edge._context import Hook, RequestContext
from restwell.observability._metric_families import (
    Histogram,
    TraceExample,
    define_gauge,
    define_histogram,
    define_summary,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
OTHER_METHOD: Final = "_OTHER"
"""Stands for any other method, which a client may invent (OpenTelemetry: http.request.method)."""
LABELS: Final = ("http_request_method", "http_route", "http_response_status_class")

DURATION: Final = define_histogram(
    "http_server_request_duration_seconds",
    "Duration of requests; of event streams, to the start.",
    *LABELS,
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
"""The buckets that OpenTelemetry recommends, and two below: most requests take less than its first, 5 ms."""
BODY_SIZE: Final = define_summary(
    "http_server_response_body_size_bytes", "Size of the bodies of responses, as sent.", *LABELS
)
CALL_DURATION: Final = define_histogram(
    "rpc_server_call_duration_seconds",
    "Duration of calls of gRPC, to the end of the response.",
    "rpc_method",
    "rpc_response_status_code",
    bounds=DURATION.bounds,
)
"""Counted by ``restwell.grpc``, which needs an extra; the dashboards do not."""
ACTIVE: Final = define_gauge("http_server_active_requests", "Requests in progress.", "http_request_method")


class _Series(Histogram):
    __slots__ = ("body_bytes",)

    def __init__(self) -> None:
        super().__init__(DURATION.bounds)
        self.body_bytes = 0


class RequestMetrics(Hook, Collector):
    """The first hook, so that every request is counted, also one that another hook answers.

    A request without a route has the route "". Its status class is "" if its client has received no response.
    """

    def __init__(self) -> None:
        self._active = dict.fromkeys((*METHODS, OTHER_METHOD), 0)
        self._series: dict[tuple[str, str, int], _Series] = {}

    def admit(self, context: RequestContext) -> None:
        method = context.method
        self._active[method if method in self._active else OTHER_METHOD] += 1

    def after(self, context: RequestContext) -> None:
        seconds = (context.stream_started_at or context.ended_at) - context.started_at
        route, method = context.route, context.method
        if method not in self._active:
            method = OTHER_METHOD
        self._active[method] -= 1
        key = (route.path if route is not None else "", method, context.status // 100)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        bucket = bisect_left(series.bounds, seconds)
        series.counts[bucket] += 1
        series.sum += seconds
        series.body_bytes += context.body_bytes
        trace = context.trace
        if trace is not None and trace.sampled:
            series.examples[bucket] = TraceExample(trace.trace_id, seconds, time.time())

    def collect(self) -> Iterator[Metric]:
        found = [
            ((method, route, f"{status}xx" if status else ""), series)
            for (route, method, status), series in self._series.items()
        ]
        yield DURATION.histogram(found)
        yield BODY_SIZE.summary((labels, series.count, series.body_bytes) for labels, series in found)
        yield ACTIVE.family(self._active)
