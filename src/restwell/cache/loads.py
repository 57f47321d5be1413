"""Reading from the database on the cache's behalf: so many at once, each in its time, and in tasks that no caller takes along."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

from restwell.database.consistency import require_lsn
from restwell.errors import DeadlineExceeded, ServiceUnavailable

AT_ONCE: Final = 64
"""So many loads run at once in a process; the others wait for their turn, for half the time that a load may take."""

Load = Callable[[], Awaitable[Any]]

_admitted: Final[ContextVar[bool]] = ContextVar("admitted", default=False)


class TooManyLoads(ServiceUnavailable):
    code, message = "too_many_loads", "Too many requests wait for the database right now. Try again shortly."


class Loads:
    """Runs loads, each for at most ``seconds``. What they read is what everyone has written: the primary's."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._next: dict[str, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """In a task of its own: wait for it under ``asyncio.shield``, and it outlives who is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def run(self, load: Load) -> tuple[Any, float]:
        """What it read, and in how many seconds. Raises TooManyLoads, or DeadlineExceeded."""
        require_lsn(None)
        async with self._admit():
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self._seconds):
                    value = await load()
            except TimeoutError:
                raise DeadlineExceeded from None
            return value, time.perf_counter() - began

    async def fresh(self, key: str, load: Load) -> Any:
        """What it reads after this moment. Whoever asks while one such load of the key runs shares the next one."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = self.spawn(self._in_turn(key, load, self._running.get(key)))
        return await asyncio.shield(task)

    async def _in_turn(self, key: str, load: Load, before: "asyncio.Task[Any] | None") -> Any:
        if before is not None:
            await asyncio.wait([before])
        task = self._running[key] = self._next.pop(key)
        try:
            return (await self.run(load))[0]
        finally:
            if self._running[key] is task:
                del self._running[key]

    @asynccontextmanager
    async def _admit(self) -> AsyncIterator[None]:
        """One of the places; a load that another load needs has one already."""
        if _admitted.get():
            yield
            return
        try:
            async with asyncio.timeout(self._seconds / 2):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyLoads from None
        _admitted.set(True)
        try:
            yield
        finally:
            self._places.release()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # if nobody waits for it any more, it has been seen here
