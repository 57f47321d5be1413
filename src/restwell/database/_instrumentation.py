"""Counters, trace spans and failure logs of named queries, per process and per request."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Final

import structlog
from opentelemetry import trace

from restwell.errors import ServiceUnavailable
from restwell.observability._metric_families import Histogram

log = structlog.get_logger("restwell.database")

_tracer: Final = trace.get_tracer("restwell.database")
_counts: Final[ContextVar[dict[str, int] | None]] = ContextVar("executions", default=None)


QUERY_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class QueryTotal(Histogram):
    """The durations of the executions of one query in this process."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(QUERY_BOUNDS)

    @property
    def executions(self) -> int:
        return self.count

    @property
    def seconds(self) -> float:
        """The total duration."""
        return self.sum


_totals: Final[dict[str, QueryTotal]] = {}


def totals() -> Mapping[str, QueryTotal]:
    """The totals of each query that has run in this process, by name."""
    return _totals


def start_counting() -> None:
    """Start to count the queries of this task and of the tasks it starts. Used to detect N+1 queries."""
    _counts.set({})


def stop_counting() -> dict[str, int]:
    """Stop counting. Returns the counts by query name."""
    counts = _counts.get() or {}
    _counts.set(None)
    return counts


class track_execution:  # noqa: N801  # used as a function: with track_execution(query.name)
    """Around one statement: counts it, traces it as a span, and logs ``query_failed`` if the database is unavailable.

    A batch counts once, for the caller that started it.
    """

    __slots__ = ("_began", "_name", "_span", "_total")

    def __init__(self, name: str) -> None:
        counts = _counts.get()
        if counts is not None:
            counts[name] = counts.get(name, 0) + 1
        total = _totals.get(name)
        if total is None:
            total = _totals[name] = QueryTotal()
        self._total = total
        self._name = name

    def __enter__(self) -> None:
        self._span = _tracer.start_span(self._name, kind=trace.SpanKind.CLIENT)
        self._began = time.perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        self._total.observe(seconds)
        if error is not None:
            self._span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            if isinstance(error, ServiceUnavailable):
                cause = repr(error.__cause__ or error)
                log.warning("query_failed", query=self._name, seconds=round(seconds, 3), cause=cause)
        self._span.end()
