"""Batching of point reads: reads by key of one event-loop iteration become one statement (the DataLoader pattern).

A read joins only a batch that has not started, so it sees every write that was acknowledged before it. Reads inside a
transaction are never batched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog

from restwell.database._consistency import required_lsn
from restwell.database._instrumentation import trace_read, track_execution
from restwell.database._query import Compiled, Query
from restwell.errors import ServiceUnavailable

log = structlog.get_logger("restwell.database")

Waiters = dict[Any, list["asyncio.Future[Any]"]]
"""The callers of one batch, by key. Each has its own future, so that a cancelled caller does not affect the others."""

Fetch = Callable[[Compiled, tuple[Any, ...]], Awaitable[Sequence[Sequence[Any]]]]


class ReadBatcher:
    """Collects the point reads of one database and runs them with ``fetch``."""

    def __init__(self, dialect: str, fetch: Fetch) -> None:
        self._dialect = dialect
        self._fetch = fetch
        self._pending: dict[tuple[Query[Any], int | None], Waiters] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def find(self, query: Query[Any], arguments: dict[str, Any]) -> Any:
        """The row with the key, or None. An error caused by one key is raised only to its callers."""
        if len(arguments) != 1 or query.batch_on not in arguments:
            query.compiled[self._dialect].bind(arguments)  # raises the TypeError
        loop = asyncio.get_running_loop()
        batch = (query, required_lsn())  # a caller that requires a newer position must not share an older read
        waiters = self._pending.get(batch)
        if waiters is None:
            waiters = self._pending[batch] = {}
            loop.call_soon(self._start, batch)
        future: asyncio.Future[Any] = loop.create_future()
        waiters.setdefault(arguments[query.batch_on], []).append(future)
        with trace_read(query.name):
            return await future

    def _start(self, batch: tuple[Query[Any], int | None]) -> None:
        task = asyncio.create_task(self._run(batch[0], self._pending.pop(batch)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, query: Query[Any], waiters: Waiters) -> None:
        try:
            found = await self._read(query, [key for key, futures in waiters.items() if _has_waiter(futures)])
        except ServiceUnavailable as error:
            for futures in waiters.values():
                _fail(futures, error)
        except Exception as error:  # noqa: BLE001  # goes to the callers of the key that caused it
            if len(waiters) == 1:
                for futures in waiters.values():
                    _fail(futures, error)
            else:
                log.warning("batch_failed", query=query.name, keys=len(waiters), cause=repr(error))
                await asyncio.gather(*(self._run(query, {key: futures}) for key, futures in waiters.items()))
        else:
            for key, futures in waiters.items():
                row = found.get(key)
                for future in futures:
                    if not future.done():
                        future.set_result(row)

    async def _read(self, query: Query[Any], keys: Sequence[Any]) -> dict[Any, Any]:
        if not keys:
            return {}
        single = len(keys) == 1
        compiled = query.compiled[self._dialect] if single else query.batched[self._dialect]
        with track_execution(query.name, is_shared=True):
            rows = await self._fetch(compiled, compiled.bind({query.batch_on: keys[0] if single else keys}))
        if single:
            return {keys[0]: compiled.decode(rows[0])} if rows else {}
        return dict(map(compiled.decode, rows))


def _has_waiter(futures: Iterable["asyncio.Future[Any]"]) -> bool:
    return not all(future.cancelled() for future in futures)


def _fail(futures: Iterable["asyncio.Future[Any]"], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
