"""A limit for the queries of a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from restwell.database._instrumentation import totals


@contextmanager
def query_budget(limit: int) -> Iterator[None]:
    """Raise AssertionError, with all of them, if this process executes more than ``limit`` named queries in the block.

    Reads that share a statement are one query. BEGIN and COMMIT are none.
    """
    before = {name: total.executions for name, total in totals().items()}
    yield
    executed = {name: total.executions - before.get(name, 0) for name, total in totals().items()}
    count = sum(executed.values())
    if count > limit:
        lines = "".join(f"\n  {times} x {name}" for name, times in executed.items() if times)
        raise AssertionError(f"{count} queries instead of at most {limit}:{lines}")
