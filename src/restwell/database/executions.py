"""How often each named query ran for the work at hand, such as one request: what an N+1 is seen by."""

from contextvars import ContextVar
from typing import Final

_counts: Final[ContextVar[dict[str, int] | None]] = ContextVar("executions", default=None)


def start_counting() -> None:
    """Count what this task and the tasks it starts execute from here on."""
    _counts.set({})


def stop_counting() -> dict[str, int]:
    """Count no further. Returns the counts by query name."""
    counts = _counts.get() or {}
    _counts.set(None)
    return counts


def count_execution(name: str) -> None:
    """One statement of this query goes to the database; a batch counts once, for the caller who started it."""
    counts = _counts.get()
    if counts is not None:
        counts[name] = counts.get(name, 0) + 1
