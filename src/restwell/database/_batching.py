"""Batching of reads: those by key, or pages of one list, of one event-loop iteration become one statement (the
DataLoader pattern).

A read joins only a batch that has not started, so it sees every write that was acknowledged before it. Reads inside a
transaction are never batched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import structlog

from restwell.database._consistency import required_lsn
from restwell.database._instrumentation import trace_read, track_execution
from restwell.database._query import Compiled, Query
from restwell.errors import ServiceUnavailable

log = structlog.get_logger("restwell.database")

Waiters = dict[Any, list["asyncio.Future[Any]"]]
"""The callers of one batch, by key. Each has its own future, so that a cancelled caller does not affect the others."""

Fetch = Callable[[Compiled, tuple[Any, ...]], Awaitable[Sequence[Sequence[Any]]]]
FetchEach = Callable[[Compiled, Sequence[tuple[Any, ...]]], Awaitable[Sequence[Sequence[Sequence[Any]]]]]
"""Runs one statement with several parameters."""

MAX_LISTS: Final = 64
"""Most lists that one statement reads."""


class Batch(NamedTuple):
    """What the reads of a batch have in common."""

    query: Query[Any]
    lsn: int | None
    """A caller that requires a newer position must not share an older read."""
    shared: tuple[tuple[str, Any], ...] = ()
    """Arguments of lists that all have the same value: the planner must know the LIMIT."""


class ReadBatcher:
    """Collects the reads of one database and runs them with ``fetch``.

    A dialect without a statement that reads several lists uses ``fetch_each``.
    """

    def __init__(self, dialect: str, fetch: Fetch, fetch_each: FetchEach) -> None:
        self._dialect = dialect
        self._fetch = fetch
        self._fetch_each = fetch_each
        self._pending: dict[Batch, Waiters] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def find(self, query: Query[Any], arguments: dict[str, Any]) -> Any:
        """The row with the key, or None. An error caused by one key is raised only to its callers."""
        if len(arguments) != 1 or query.batch_on not in arguments:
            query.compiled[self._dialect].bind(arguments)  # raises the TypeError
        return await self._join(Batch(query, required_lsn()), arguments[query.batch_on])

    async def all(self, query: Query[Any], arguments: dict[str, Any]) -> list[Any]:
        """The rows of one list. An error that is caused by its arguments is raised only to its callers."""
        query.compiled[self._dialect].bind(arguments)  # raises the TypeError
        names = query.group_by or ()
        shared = tuple((name, value) for name, value in arguments.items() if name not in names)
        rows: Sequence[Any] = await self._join(
            Batch(query, required_lsn(), shared), tuple(arguments[name] for name in names)
        )
        return [*rows]  # the callers of the same list may change it

    async def _join(self, batch: Batch, key: Any) -> Any:
        loop = asyncio.get_running_loop()
        waiters = self._pending.get(batch)
        if waiters is None:
            waiters = self._pending[batch] = {}
            loop.call_soon(self._start, batch)
        future: asyncio.Future[Any] = loop.create_future()
        waiters.setdefault(key, []).append(future)
        with trace_read(batch.query.name):
            return await future

    def _start(self, batch: Batch) -> None:
        waiters = self._pending.pop(batch)
        if batch.query.group_by is None or len(waiters) <= MAX_LISTS:
            self._spawn(batch, waiters)
            return
        items = list(waiters.items())
        for start in range(0, len(items), MAX_LISTS):
            self._spawn(batch, dict(items[start : start + MAX_LISTS]))

    def _spawn(self, batch: Batch, waiters: Waiters) -> None:
        task = asyncio.create_task(self._run(batch, waiters))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: Batch, waiters: Waiters) -> None:
        try:
            found = await self._read(batch, [key for key, futures in waiters.items() if _has_waiter(futures)])
        except ServiceUnavailable as error:
            for futures in waiters.values():
                _fail(futures, error)
        except Exception as error:  # noqa: BLE001  # goes to the callers of the key that caused it
            if len(waiters) == 1:
                for futures in waiters.values():
                    _fail(futures, error)
            else:
                log.warning("batch_failed", query=batch.query.name, keys=len(waiters), cause=repr(error))
                await asyncio.gather(*(self._run(batch, {key: futures}) for key, futures in waiters.items()))
        else:
            for key, futures in waiters.items():
                row = found.get(key)
                for future in futures:
                    if not future.done():
                        future.set_result(row)

    async def _read(self, batch: Batch, keys: Sequence[Any]) -> dict[Any, Any]:
        """The row of each key that has one; of lists, the rows of each key."""
        if not keys:
            return {}
        query, single = batch.query, len(keys) == 1
        if query.group_by is not None:
            with track_execution(query.name, is_shared=True):
                return await self._read_lists(batch, query.group_by, keys)
        compiled = query.compiled[self._dialect] if single else query.batched[self._dialect]
        with track_execution(query.name, is_shared=True):
            rows = await self._fetch(compiled, compiled.bind({query.batch_on: keys[0] if single else keys}))
        if single:
            return {keys[0]: compiled.decode(rows[0])} if rows else {}
        return dict(map(compiled.decode, rows))

    async def _read_lists(
        self, batch: Batch, names: Sequence[str], keys: Sequence[tuple[Any, ...]]
    ) -> dict[Any, list[Any]]:
        shared = dict(batch.shared)
        batched = batch.query.batched.get(self._dialect)
        if batched is None or len(keys) == 1:
            compiled = batch.query.compiled[self._dialect]
            parameters = [compiled.bind(shared | dict(zip(names, key, strict=True))) for key in keys]
            if len(keys) == 1:
                found = [await self._fetch(compiled, parameters[0])]
            else:
                found = [*await self._fetch_each(compiled, parameters)]
            return {key: [*map(compiled.decode, rows)] for key, rows in zip(keys, found, strict=True)}
        arrays = dict(zip(names, zip(*keys, strict=True), strict=True))
        lists: dict[Any, list[Any]] = {key: [] for key in keys}
        for number, row in map(batched.decode, await self._fetch(batched, batched.bind(shared | arrays))):
            lists[keys[number - 1]].append(row)
        return lists


def _has_waiter(futures: Iterable["asyncio.Future[Any]"]) -> bool:
    return not all(future.cancelled() for future in futures)


def _fail(futures: Iterable["asyncio.Future[Any]"], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
