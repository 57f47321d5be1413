"""The transaction hook that invalidates cache tags: it begins the write before the commit and ends it after the outcome
is known.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from restwell.cache._store import WRITE_TIMEOUT_SECONDS, PendingWrite, Store
from restwell.database import Transaction
from restwell.database._transaction import TransactionHook

DeferredSet = Callable[[PendingWrite], Awaitable[None]]
"""Stores a value that the transaction wrote, under the generations of its own write."""


class Invalidation(TransactionHook):
    """The tags that one transaction invalidates.

    ``deferred_sets`` run after the commit, unless another write to the tags overlapped.
    """

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]) -> None:
        self.store = store
        self.tags: dict[str, None] = {}
        self.deferred_sets: list[DeferredSet] = []
        self._spawn = spawn
        self._write: PendingWrite | None = None

    async def before_commit(self, tx: Transaction) -> None:
        self._write = await self.store.begin_write(tx, list(self.tags))

    async def committed(self) -> None:
        if self._write is not None:
            await asyncio.shield(self._spawn(self._end(self._write, self.deferred_sets)))

    def rolled_back(self) -> None:
        self._end_after(0)

    def outcome_unknown(self) -> None:
        self._end_after(WRITE_TIMEOUT_SECONDS)

    def _end_after(self, seconds: float) -> None:
        # Tags that were recorded in the database are rolled back with the transaction.
        if self._write is not None and self._write.suspended_at is None:
            self._spawn(self._wait_and_end(self._write, seconds))

    async def _wait_and_end(self, write: PendingWrite, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._end(write, [])

    async def _end(self, write: PendingWrite, deferred_sets: list[DeferredSet]) -> None:
        if await self.store.end_write(write):
            for deferred_set in deferred_sets:
                await deferred_set(write)
