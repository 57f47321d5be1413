"""How often each named query ran: for the work at hand, such as one request, which an N+1 is seen by, and in all."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Final

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
    """One statement of a query goes to the database; a batch counts once, for the caller who started it."""

    __slots__ = ("_began", "_total")

    def __init__(self, name: str) -> None:
        counts = _counts.get()
        if counts is not None:
            counts[name] = counts.get(name, 0) + 1
        total = _totals.get(name)
        if total is None:
            total = _totals[name] = Total()
        self._total = total

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._total.executions += 1
        self._total.seconds += time.perf_counter() - self._began
