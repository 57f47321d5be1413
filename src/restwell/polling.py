"""Streams of changes from repeated reads."""

from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from time import time
from typing import TypeVar

T = TypeVar("T")

__all__ = ["poll_changes"]


async def poll_changes(
    read: Callable[[], Awaitable[T]], *, until: Callable[[T], bool] = lambda _: False, seconds: float = 1.0
) -> AsyncIterator[T]:
    """Yield what ``read`` returns, and again whenever it differs, up to a value for which ``until`` is true.

    Several changes between two reads are one. All pollers of a process read at the same moment, so that their reads
    with ``batch_on`` are one statement.
    """
    last: object = None
    while True:
        found = await read()
        if found != last:
            yield found
            if until(found):
                return
        last = found
        await sleep(seconds - time() % seconds)
