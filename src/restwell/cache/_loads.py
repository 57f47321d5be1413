"""Loads of cached values: limited in number and time, and independent of the caller that started them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

from restwell.database._consistency import require_lsn
from restwell.errors import DeadlineExceeded, ServiceUnavailable

MAX_CONCURRENT_LOADS: Final = 64
"""Concurrent loads per process. Further loads wait for a slot, for at most half the time that a load may take."""

Load = Callable[[], Awaitable[Any]]

_holds_slot: Final[ContextVar[bool]] = ContextVar("holds_slot", default=False)


class TooManyLoads(ServiceUnavailable):
    """More loads wait than the cache queues: 503, and no query ran."""

    code, message = "too_many_loads", "Too many requests are waiting for the database. Try again shortly."


class Loader:
    """Runs loads, each for at most ``timeout_seconds``. Loads read from the primary."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LOADS)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._next: dict[str, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine in a task. Await it under ``asyncio.shield`` to let it outlive a cancelled caller."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def run(self, load: Load) -> tuple[Any, float]:
        """The loaded value, and the duration in seconds. Raises TooManyLoads or DeadlineExceeded."""
        require_lsn(None)
        async with self._slot():
            started_at = time.perf_counter()
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    value = await load()
            except TimeoutError:
                raise DeadlineExceeded from None
            return value, time.perf_counter() - started_at

    async def load_after_now(self, key: str, load: Load) -> Any:
        """A value whose load starts after this call.

        Callers that arrive while a load of the key runs share the next one.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = self.spawn(self._run_after(self._running.get(key), key, load))
        return await asyncio.shield(task)

    async def _run_after(self, previous: "asyncio.Task[Any] | None", key: str, load: Load) -> Any:
        if previous is not None:
            await asyncio.wait([previous])
        task = self._running[key] = self._next.pop(key)
        try:
            return (await self.run(load))[0]
        finally:
            if self._running[key] is task:
                del self._running[key]

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Hold one slot. A nested load uses the slot of the outer load."""
        if _holds_slot.get():
            yield
            return
        try:
            async with asyncio.timeout(self._timeout_seconds / 2):
                await self._slots.acquire()
        except TimeoutError:
            raise TooManyLoads from None
        _holds_slot.set(True)
        try:
            yield
        finally:
            self._slots.release()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved when no caller waits any more
