"""Counters, trace spans and failure logs of named queries, per process and per request."""

from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import Final

import structlog

from restwell.errors import ServiceUnavailable
from restwell.observability._metric_families import Histogram
from restwell.observability._trace import current

log = structlog.get_logger("restwell.database")

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


def stop_counting() -> None:
    """Count no more queries of this task, and of the tasks it starts, in the query budget of the request."""
    active = current.get()
    if active is not None:
        current.set((active[0], active[1], None))


class track_execution:  # noqa: N801  # used as a function: with track_execution(query.name)
    """Around one statement: counts it, adds a span, and logs ``query_failed`` if the database is unavailable.

    A batch counts once, for the caller that started it. It ``is_shared``: each caller has a span of its own.
    """

    __slots__ = ("_began", "_is_shared", "_name", "_total")

    def __init__(self, name: str, *, is_shared: bool = False) -> None:
        active = current.get()
        if active is not None and (counts := active[2]) is not None:
            counts[name] = counts.get(name, 0) + 1
        total = _totals.get(name)
        if total is None:
            total = _totals[name] = QueryTotal()
        self._total = total
        self._name = name
        self._is_shared = is_shared

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        ended = perf_counter()
        seconds = ended - self._began
        self._total.observe(seconds)
        if not self._is_shared:
            _add_span(self._name, self._began, ended, error)
        if isinstance(error, ServiceUnavailable):
            cause = repr(error.__cause__ or error)
            log.warning("query_failed", query=self._name, seconds=round(seconds, 3), cause=cause)


class trace_read:  # noqa: N801  # as above
    """Around a read that may share its statement with those of other callers: a span of the time that it waits."""

    __slots__ = ("_began", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        _add_span(self._name, self._began, perf_counter(), error)


def _add_span(name: str, began: float, ended: float, error: BaseException | None) -> None:
    active = current.get()
    if active is not None:
        trace, parent_id, _ = active
        trace.db_seconds += ended - began
        trace.add(name, "query", began, ended, type(error).__name__ if error is not None else None, parent_id)
