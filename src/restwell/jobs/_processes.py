"""Runs functions in separate processes that can be killed. A process that dies affects no other call."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from restwell._child_processes import exit_with_parent
from restwell.observability._logs import configure_logs, log_settings
from restwell.settings import LogSettings

T = TypeVar("T")


class ProcessDied(Exception):
    """The process exited before the function returned."""


class Processes:
    """Up to ``count`` processes, started on demand and reused.

    Each process has its own ProcessPoolExecutor, because the exit of one process breaks the whole pool.
    """

    def __init__(self, count: int) -> None:
        self._free: asyncio.LifoQueue[ProcessPoolExecutor | None] = asyncio.LifoQueue()
        self._busy: set[ProcessPoolExecutor] = set()
        for _ in range(count):
            self._free.put_nowait(None)

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call the function in a process. If the caller is cancelled, the process is killed. Raises ProcessDied."""
        return await self.run_within(None, function, *args, **kwargs)

    async def run_within(self, seconds: float | None, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Like ``run``, with a timeout that kills the process and raises TimeoutError.

        Waiting for a free process does not count.
        """
        pool = await self._free.get() or _pool_of_one()
        work = partial(function, *args, **kwargs)
        try:
            future = pool.submit(work)
        except BrokenProcessPool:  # the process exited while idle
            pool = _pool_of_one()
            future = pool.submit(work)
        self._busy.add(pool)
        processes = _processes_of(pool)
        limit = asyncio.timeout(seconds)
        reusable: ProcessPoolExecutor | None = pool
        try:
            async with limit:
                return await asyncio.wrap_future(future)
        except BrokenProcessPool:
            reusable = None
            raise ProcessDied(f"the process exited with {await _exit_codes(processes)}") from None
        except asyncio.CancelledError:
            reusable = None
            _kill(pool)
            raise
        except TimeoutError:
            if limit.expired():
                reusable = None
                _kill(pool)
            raise
        finally:
            self._busy.discard(pool)
            self._free.put_nowait(reusable)

    def close(self) -> None:
        """Kill all processes."""
        pools = set(self._busy)
        while not self._free.empty():
            pool = self._free.get_nowait()
            if pool is not None:
                pools.add(pool)
        for pool in pools:
            _kill(pool)


def _pool_of_one() -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_initialize, initargs=(log_settings(),))


def _initialize(logs: LogSettings | None) -> None:
    """Initialize a new process: exit with the parent, and use its log configuration."""
    exit_with_parent()
    if logs is not None:
        configure_logs(logs)


def _processes_of(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    return list((pool._processes or {}).values())  # noqa: SLF001  # no public API before Python 3.14


async def _exit_codes(processes: list[BaseProcess]) -> str:
    """Wait up to a second for the exit codes: the pool's own thread may be the one that reaps the processes."""
    for _ in range(100):
        if all(process.exitcode is not None for process in processes):
            break
        await asyncio.sleep(0.01)
    return ", ".join(str(process.exitcode) for process in processes)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in _processes_of(pool):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)
