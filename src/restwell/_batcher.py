"""Batches of concurrent calls: items that arrive while a batch runs share the next one."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls ``run`` with one batch at a time, of at most ``max_items`` items, in the order of ``add``.

    ``run`` returns a result or an exception for each item. An exception that it raises is that of every item. A batch
    runs in the context of the caller that opened it, and does not end when a caller is cancelled.
    """

    def __init__(
        self, run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]], *, max_items: int = sys.maxsize
    ) -> None:
        self._run = run
        self._max_items = max_items
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._context: Context | None = None
        self._running: asyncio.Task[None] | None = None

    def add(self, item: Item) -> "asyncio.Future[Result]":
        """Add an item to the next batch. Await the result, or leave it."""
        if not self._waiting:
            self._context = copy_context()
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._running is None:
            self._start()
        return result

    async def close(self, seconds: float = 0.0) -> None:
        """Wait for the items at most ``seconds``, then cancel the batch and the callers."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running is not None:
                    await asyncio.wait([self._running])
        waiting, self._waiting = self._waiting, []
        for _, result in waiting:
            result.cancel()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    def _start(self) -> None:
        self._running = asyncio.create_task(self._run_batch(), context=self._context)

    async def _run_batch(self) -> None:
        batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
        outcomes: Sequence[Result | Exception]
        try:
            outcomes = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # raised in the callers
            outcomes = [error] * len(batch)
        except asyncio.CancelledError:
            for _, result in batch:
                result.cancel()
            self._running = None
            raise
        for (_, result), outcome in zip(batch, outcomes, strict=True):
            if result.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Exception):
                result.set_exception(outcome)
            else:
                result.set_result(outcome)
        self._running = None
        if self._waiting:
            self._start()
