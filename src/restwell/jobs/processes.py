"""Work in processes of their own: one that has no end is ended, one that dies takes nothing with it."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from restwell.child_processes import exit_with_parent
from restwell.observability.logs import configure_logs, log_settings
from restwell.settings import LogSettings

T = TypeVar("T")


class ProcessDied(Exception):
    """The process that did the work ended before it was done."""


class Processes:
    """As many processes as ``count``, made when they are first needed and used again.

    Each is a pool of one: a pool of the standard library is broken as a whole when one of its processes ends.
    """

    def __init__(self, count: int) -> None:
        self._free: asyncio.LifoQueue[ProcessPoolExecutor | None] = asyncio.LifoQueue()
        self._busy: set[ProcessPoolExecutor] = set()
        for _ in range(count):
            self._free.put_nowait(None)

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """The function's result, or what it raises. When the caller is cancelled, the process ends. Raises ProcessDied."""
        return await self.run_within(None, function, *args, **kwargs)

    async def run_within(self, seconds: float | None, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """The same, and the process ends after so many seconds of work, with TimeoutError; waiting for a free one does not count."""
        pool = await self._free.get() or _pool_of_one()
        work = partial(function, *args, **kwargs)
        try:
            future = pool.submit(work)
        except BrokenProcessPool:  # its process has ended while it had nothing to do
            pool = _pool_of_one()
            future = pool.submit(work)
        self._busy.add(pool)
        processes = _processes_of(pool)
        limit = asyncio.timeout(seconds)
        again: ProcessPoolExecutor | None = pool
        try:
            async with limit:
                return await asyncio.wrap_future(future)
        except BrokenProcessPool:
            again = None
            raise ProcessDied(f"the process ended with {await _exit_codes(processes)}") from None
        except asyncio.CancelledError:
            again = None
            _kill(pool)
            raise
        except TimeoutError:
            if limit.expired():
                again = None
                _kill(pool)
            raise
        finally:
            self._busy.discard(pool)
            self._free.put_nowait(again)

    def close(self) -> None:
        """End them all, whatever they do."""
        pools = set(self._busy)
        while not self._free.empty():
            pool = self._free.get_nowait()
            if pool is not None:
                pools.add(pool)
        for pool in pools:
            _kill(pool)


def _pool_of_one() -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(log_settings(),))


def _begin(logs: LogSettings | None) -> None:
    """The first thing in a new process; it logs as the one that started it."""
    exit_with_parent()
    if logs is not None:
        configure_logs(logs)


def _processes_of(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    return list((pool._processes or {}).values())  # noqa: SLF001  # there is no other way before Python 3.14


async def _exit_codes(processes: list[BaseProcess]) -> str:
    """Whoever asks first is told; here that may be the pool itself, which then passes it on."""
    for _ in range(100):
        if all(process.exitcode is not None for process in processes):
            break
        await asyncio.sleep(0.01)
    return ", ".join(str(process.exitcode) for process in processes)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in _processes_of(pool):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)
