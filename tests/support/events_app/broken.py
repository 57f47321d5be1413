"""Builds that are broken on purpose, each by one change. ``BROKEN=name`` in the environment selects one."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from restwell.database import Query, Transaction
from restwell.events import StoredEvent
from restwell.events import _queries as queries
from restwell.events._consumer import ConsumerRun
from restwell.events._outbox import _Appended

VARIABLE: Final = "BROKEN"


class Altered:
    """A transaction of which some methods are replaced."""

    def __init__(self, tx: Transaction, **methods: Any) -> None:
        self._tx = tx
        self.__dict__ |= methods

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def _no_lock() -> None:
    """Positions come from a sequence, and consumers continue after the highest: a lower one may commit later."""
    real = _Appended.before_commit

    async def before_commit(self: _Appended, tx: Transaction) -> None:
        await real(self, Altered(tx, one=self._events._database.one))  # type: ignore[arg-type]

    _Appended.before_commit = before_commit  # type: ignore[method-assign]

    async def apply_in(self: ConsumerRun, tx: Transaction, partition: int, events: Sequence[StoredEvent]) -> int:
        await tx.find(queries.lock_position, consumer=self.consumer.name, partition=partition)
        for event in events:
            await self._apply_one(tx, event)
        of_partition = {"match_consumer": self.consumer.name, "match_partition": partition}
        await tx.run(queries.set_position, **of_partition, position=events[-1].position)
        return len(events)

    ConsumerRun._apply_in = apply_in  # type: ignore[method-assign]


def _no_transaction() -> None:
    """The position of a consumer is stored after the transaction of the effects, in one of its own."""
    real = ConsumerRun._apply_in

    async def apply(self: ConsumerRun, partition: int, events: Sequence[StoredEvent]) -> int:
        later: list[dict[str, Any]] = []

        async def work(tx: Transaction) -> int:
            async def run(query: Query[Any], **arguments: Any) -> int:
                if query is not queries.set_position:
                    return await tx.run(query, **arguments)
                later.append(arguments)
                return 1

            return await real(self, Altered(tx, run=run), partition, events)  # type: ignore[arg-type]

        applied = await self._database.in_transaction(work, ambient=True)
        await asyncio.sleep(0.01)
        for arguments in later:
            await self._database.run(queries.set_position, **arguments)
        return applied

    ConsumerRun._apply = apply  # type: ignore[method-assign]


def _no_inbox() -> None:
    """A consumer applies what it has read, without a look at its position in the transaction."""
    real = ConsumerRun._apply_in

    async def apply_in(self: ConsumerRun, tx: Transaction, partition: int, events: Sequence[StoredEvent]) -> int:
        async def find(_query: Query[Any], **_: Any) -> int:
            return events[0].position - 1

        return await real(self, Altered(tx, find=find), partition, events)  # type: ignore[arg-type]

    ConsumerRun._apply_in = apply_in  # type: ignore[method-assign]


BUILDS: Final[Mapping[str, Callable[[], None]]] = {
    "no-lock": _no_lock,
    "no-transaction": _no_transaction,
    "no-inbox": _no_inbox,
}


@cache
def break_on_purpose() -> None:
    """Apply the breakage that the environment selects, once per process."""
    if name := os.environ.get(VARIABLE):
        BUILDS[name]()
