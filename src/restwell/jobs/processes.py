"""Work in processes of their own: one that has no end is ended, one that dies takes nothing with it."""

import asyncio
import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from restwell.orphans import end_with_parent

T = TypeVar("T")


class ProcessDied(Exception):
    """The process that did the work ended before it was done."""


class Processes:
    """As many processes as there are slots, made when they are first needed and used again."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPool | None = None

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """The function's result, or what it raises. When the caller is cancelled, the process ends. Raises ProcessDied."""
        if self._pool is None:
            self._pool = ProcessPool(
                max_workers=self._count, initializer=end_with_parent, context=multiprocessing.get_context("spawn")
            )
        future = self._pool.schedule(partial(function, *args, **kwargs))
        try:
            return await asyncio.wrap_future(future)
        except ProcessExpired as error:
            raise ProcessDied(f"the process ended with {error.exitcode}") from None

    def close(self) -> None:
        """End them all, whatever they do."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]  # pebble's own
            pool.join()
