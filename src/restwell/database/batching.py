"""Batching of point reads: reads by key that are asked for in one turn of the event loop become one statement.

A read joins only a batch that has not started, so it sees every write that was acknowledged before it was asked for. Reads
inside a transaction are never batched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog

from restwell.database.consistency import required_lsn
from restwell.database.instrumentation import execution
from restwell.database.query import Compiled, Query
from restwell.errors import ServiceUnavailable

log = structlog.get_logger("restwell.database")

Waiting = dict[Any, list["asyncio.Future[Any]"]]
"""The callers of one batch, by the key they asked for. Each has a future of its own, so that none can cancel another's."""


Fetch = Callable[[Compiled, tuple[Any, ...]], Awaitable[Sequence[Sequence[Any]]]]


class Batches:
    """The batches of one database, which ``fetch`` asks."""

    def __init__(self, dialect: str, fetch: Fetch) -> None:
        self._dialect = dialect
        self._fetch = fetch
        self._waiting: dict[tuple[Query[Any], int | None], Waiting] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def find(self, query: Query[Any], arguments: dict[str, Any]) -> Any:
        """The row with the key, or None. What goes wrong with one caller's key is that caller's error alone."""
        if len(arguments) != 1 or query.batch_on not in arguments:
            query.compiled[self._dialect].bind(arguments)  # it says which argument is wrong
        loop = asyncio.get_running_loop()
        batch = (query, required_lsn())  # whoever may read an older row does not share with whoever may not
        waiting = self._waiting.get(batch)
        if waiting is None:
            waiting = self._waiting[batch] = {}
            loop.call_soon(self._start, batch)
        answer: asyncio.Future[Any] = loop.create_future()
        waiting.setdefault(arguments[query.batch_on], []).append(answer)
        return await answer

    def _start(self, batch: tuple[Query[Any], int | None]) -> None:
        task = asyncio.create_task(self._run(batch[0], self._waiting.pop(batch)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, query: Query[Any], waiting: Waiting) -> None:
        try:
            found = await self._read(query, [key for key, answers in waiting.items() if _is_wanted(answers)])
        except ServiceUnavailable as error:
            for answers in waiting.values():
                _fail(answers, error)
        except Exception as error:  # noqa: BLE001  # whatever it is goes to the caller whose key it was
            if len(waiting) == 1:
                for answers in waiting.values():
                    _fail(answers, error)
            else:
                log.warning("batch_failed", query=query.name, keys=len(waiting), cause=repr(error))
                await asyncio.gather(*(self._run(query, {key: answers}) for key, answers in waiting.items()))
        else:
            for key, answers in waiting.items():
                row = found.get(key)
                for answer in answers:
                    if not answer.done():
                        answer.set_result(row)

    async def _read(self, query: Query[Any], keys: Sequence[Any]) -> dict[Any, Any]:
        if not keys:
            return {}
        alone = len(keys) == 1
        compiled = query.compiled[self._dialect] if alone else query.batched[self._dialect]
        with execution(query.name):
            rows = await self._fetch(compiled, compiled.bind({query.batch_on: keys[0] if alone else keys}))
        if alone:
            return {keys[0]: compiled.decode(rows[0])} if rows else {}
        return dict(map(compiled.decode, rows))


def _is_wanted(answers: Iterable["asyncio.Future[Any]"]) -> bool:
    return not all(answer.cancelled() for answer in answers)


def _fail(answers: Iterable["asyncio.Future[Any]"], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
