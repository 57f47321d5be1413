"""What a transaction has written to: closed before its commit, open after it, whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from restwell.cache.store import WRITE_SECONDS, Store, Write
from restwell.database import Transaction, TransactionHook

Renew = Callable[[Write], Awaitable[None]]
"""Keeps a value that the transaction has written, under the write's own marks."""


class Invalidation(TransactionHook):
    """The ``tags`` of one transaction, and what is kept instead if nobody else was writing to them meanwhile."""

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]) -> None:
        self.store = store
        self.tags: dict[str, None] = {}
        self.renewals: list[Renew] = []
        self._spawn = spawn
        self._write: Write | None = None

    async def before_commit(self, tx: Transaction) -> None:
        self._write = await self.store.begin_write(tx, list(self.tags))

    async def committed(self) -> None:
        if self._write is not None:
            await asyncio.shield(self._spawn(self._end(self._write, self.renewals)))

    def rolled_back(self) -> None:
        self._end_after(0)

    def outcome_unknown(self) -> None:
        self._end_after(WRITE_SECONDS)

    def _end_after(self, seconds: float) -> None:
        if self._write is not None and self._write.noted is None:  # a note goes with the transaction
            self._spawn(self._wait_and_end(self._write, seconds))

    async def _wait_and_end(self, write: Write, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._end(write, [])

    async def _end(self, write: Write, renewals: list[Renew]) -> None:
        if await self.store.end_write(write):
            for renew in renewals:
                await renew(write)
