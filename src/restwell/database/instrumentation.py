"""How often each named query ran: for the work at hand, such as one request, which an N+1 is seen by, and in all."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Final

import structlog
from opentelemetry import trace

from restwell.errors import ServiceUnavailable

log = structlog.get_logger("restwell.database")

_tracer: Final = trace.get_tracer("restwell.database")
_counts: Final[ContextVar[dict[str, int] | None]] = ContextVar("executions", default=None)


class Total:
    """All executions of one query in this process, and the seconds they took together."""

    __slots__ = ("executions", "seconds")

    def __init__(self) -> None:
        self.executions = 0
        self.seconds = 0.0


_totals: Final[dict[str, Total]] = {}


def totals() -> Mapping[str, Total]:
    """Every query that has run in this process, by name."""
    return _totals


def start_counting() -> None:
    """Count what this task and the tasks it starts execute from here on."""
    _counts.set({})


def stop_counting() -> dict[str, int]:
    """Count no further. Returns the counts by query name."""
    counts = _counts.get() or {}
    _counts.set(None)
    return counts


class execution:  # noqa: N801  # reads as the block it makes: with execution(query.name)
    """One statement of a query goes to the database; a batch counts once, for the caller who started it.

    It is a span of that name in a trace, and a line in the log when the database did not do it.
    """

    __slots__ = ("_began", "_name", "_span", "_total")

    def __init__(self, name: str) -> None:
        counts = _counts.get()
        if counts is not None:
            counts[name] = counts.get(name, 0) + 1
        total = _totals.get(name)
        if total is None:
            total = _totals[name] = Total()
        self._total = total
        self._name = name

    def __enter__(self) -> None:
        self._span = _tracer.start_span(self._name, kind=trace.SpanKind.CLIENT)
        self._began = time.perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        self._total.executions += 1
        self._total.seconds += seconds
        if error is not None:
            self._span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            if isinstance(error, ServiceUnavailable):
                cause = repr(error.__cause__ or error)
                log.warning("query_failed", query=self._name, seconds=round(seconds, 3), cause=cause)
        self._span.end()
