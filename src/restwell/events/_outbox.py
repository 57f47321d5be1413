"""The outbox: events are appended in the caller's transaction, and read in the order of the commits.

Positions are assigned before the commit, when everything else of the transaction is done. Until it ends, it holds the
lock of the partition's row, so that a position is never visible before a lower one, and a rollback leaves no gap.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct

from restwell.database import Database, Transaction
from restwell.database._transaction import TransactionHook, hook_of
from restwell.errors import FieldError, Invalid
from restwell.events import _queries as queries
from restwell.events._queries import PARTITIONS, StoredEvent
from restwell.events._topic import Topic
from restwell.jobs._notifier import Notifier

T = TypeVar("T")

QUEUE: Final = "restwell.events"
"""What notifications name."""
_POSITIONS: Final = re.compile(rf"[0-9]{{1,18}}(?:-[0-9]{{1,18}}){{{PARTITIONS - 1}}}")


class EventBatch(Struct, frozen=True):
    """The next events, by partition and position, and the positions that they are after."""

    after: str
    events: list[StoredEvent]


class EventReader(Protocol):
    """Where a consumer reads events: ``Events``, or another service."""

    async def read(self, topic: Topic[Any], after: str) -> EventBatch:
        """The next events after these positions. The empty string is before the oldest ones."""
        ...


class Events:
    """The events of this database."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self.notifier = notifier
        self.has_consumers = False

    async def close(self) -> None:
        await self.notifier.close()

    def append(self, tx: Transaction, topic: Topic[T], key: str, payload: T) -> None:
        """Append an event. Consumers see it if and only if the transaction commits.

        Raises TypeError if ``payload`` has another type than the topic.
        """
        row = {"key": key, "payload": topic.encode(payload), "retention_seconds": topic.retention_seconds}
        hook_of(tx, _Appended, self).rows[topic.name, topic.partition_of(key)].append(row)

    async def read(self, topic: Topic[Any], after: str = "") -> EventBatch:
        """The next events after these positions. The empty string is before the oldest ones. Raises Invalid."""
        positions = parse_positions(after) if after else await self._start_of(topic)
        given = {f"after_{partition}": position for partition, position in enumerate(positions)}
        events = await self._database.primary.all(queries.read, topic=topic.name, **given)
        return EventBatch(format_positions(positions), sorted(events, key=attrgetter("partition", "position")))

    async def _start_of(self, topic: Topic[Any]) -> list[int]:
        """The positions before the oldest events."""
        start = [0] * PARTITIONS
        for each in await self._database.primary.all(queries.partitions_of, topic=topic.name):
            start[each.partition] = each.position if each.oldest is None else each.oldest - 1
        return start

    async def delete_expired(self) -> int:
        """Delete a batch of events past their retention. Returns their number; 0 means none are left."""
        return await self._database.run(queries.delete_expired)


def format_positions(positions: Sequence[int]) -> str:
    return "-".join(map(str, positions))


def parse_positions(text: str) -> list[int]:
    """The positions by partition. Raises Invalid."""
    if not _POSITIONS.fullmatch(text):
        raise Invalid(errors=[FieldError("after", "Expected the positions that a consumer sends")])
    return [int(each) for each in text.split("-")]


class _Appended(TransactionHook):
    """The events of a transaction. It assigns their positions, and notifies consumers after the commit."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)

    async def before_commit(self, tx: Transaction) -> None:
        for (topic, partition), rows in sorted(self.rows.items()):  # in one order, so that there is no deadlock
            of_partition = {"topic": topic, "partition": partition}
            last = await tx.one(queries.advance, **of_partition, position=len(rows))
            for position, row in enumerate(rows, last - len(rows) + 1):
                tx.defer(queries.insert, **of_partition, position=position, **row)

    async def committed(self) -> None:
        if self._events.has_consumers:
            self._events.notifier.notify({QUEUE: 1})

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None: ...
