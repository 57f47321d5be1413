"""The inbox: applies each event once, because its effects and the position of the consumer are one transaction."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import structlog

from restwell.database import Database, DatabaseUnavailable, Transaction
from restwell.events import _queries as queries
from restwell.events._outbox import QUEUE, EventReader, Events, format_positions, parse_positions
from restwell.events._queries import StoredEvent
from restwell.events._topic import Event, Topic
from restwell.jobs import Backoff
from restwell.jobs._executor import storable

T = TypeVar("T")

log = structlog.get_logger("restwell.events")

POLL_SECONDS: Final = 1.0
"""The longest that an event waits if its notification was lost, or comes from another service."""
APPLY_SECONDS: Final = 10.0
"""How long a consumer may take for an event."""
BACKOFF: Final = Backoff(initial_seconds=1.0, max_seconds=60.0)
MAX_ERROR_CHARS: Final = 2_000


class Consumer(ABC, Generic[T]):
    """A service that applies the events of a topic. Every worker runs it, and one at a time applies those of a key.

    ``name`` is stored with its positions; a consumer with a new name begins with the oldest event. ``reader`` reads the
    events of another service.
    """

    name: str
    topic: Topic[T]
    reader: EventReader | None = None

    @abstractmethod
    async def apply(self, tx: Transaction, event: Event[T]) -> None:
        """Apply an event: write in ``tx``, and enqueue jobs for everything that is slow or outside of the database.

        Transactions of services that it calls join ``tx``. After an exception it is called again, later and later; the
        events after it in its partition wait.
        """


class EventsMissing(Exception):
    """The next event was deleted before this consumer had applied it."""


class Consumers:
    """Runs the consumers of a process."""

    def __init__(self, database: Database, events: Events, consumers: Iterable[Consumer[Any]]) -> None:
        self._notifier = events.notifier
        self.runs = [ConsumerRun(database, events, each) for each in consumers]
        self._notified = [each for each in self.runs if each.consumer.reader is None]
        events.has_consumers = bool(self._notified)
        names = Counter(each.consumer.name for each in self.runs)
        if repeated := [name for name in names if names[name] > 1]:
            raise TypeError(f"two consumers are named {', '.join(repeated)}; rename one of them")

    async def run(self, stopping: asyncio.Event) -> None:
        """Apply events until ``stopping`` is set, and finish the transactions that have begun then."""
        async with asyncio.TaskGroup() as group:
            for each in self.runs:
                group.create_task(each.run(stopping))
            watching = group.create_task(self._watch())
            await stopping.wait()
            watching.cancel()
            for each in self.runs:
                each.woken.set()

    async def apply_all(self) -> int:
        """Apply what there is now. Returns the number of events."""
        return sum([await each.apply_next() for each in self.runs])

    async def _watch(self) -> None:
        while self._notified:
            await self._notifier.wait([QUEUE], len(self._notified), POLL_SECONDS)
            for each in self._notified:
                each.woken.set()


class ConsumerRun:
    """Runs a consumer in this process. Other processes may run it too."""

    def __init__(self, database: Database, events: Events, consumer: Consumer[Any]) -> None:
        self.consumer = consumer
        self.woken = asyncio.Event()
        self._database = database
        self._reader = consumer.reader or events
        self._retry_at: dict[int, float] = {}
        self._lock = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self.woken.clear()
            try:
                applied = await self.apply_next()
            except Exception as error:  # noqa: BLE001  # whatever the reason, it continues
                log.warning("event_consumer_failed", consumer=self.consumer.name, cause=repr(error.__cause__ or error))
                applied = 0
            if not applied:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self.woken.wait()

    async def apply_next(self) -> int:
        """Apply the next events. Returns their number."""
        async with self._lock:
            positions = await self._positions()
            batch = await self._reader.read(self.consumer.topic, positions)
            if not positions:
                await self._begin(batch.after)
            applied = 0
            for partition, events in groupby(batch.events, key=attrgetter("partition")):
                if self._retry_at.get(partition, 0.0) <= time.monotonic():
                    applied += await self._apply(partition, list(events))
            return applied

    async def _positions(self) -> str:
        """The positions of the consumer, empty for a new one."""
        found = await self._database.primary.all(queries.positions_of, consumer=self.consumer.name)
        return format_positions([each.position for each in sorted(found, key=attrgetter("partition"))])

    async def _begin(self, after: str) -> None:
        name = self.consumer.name
        rows = [{"consumer": name, "partition": n, "position": at} for n, at in enumerate(parse_positions(after))]
        async with self._database.transaction() as tx:
            await tx.run_many(queries.begin, rows)

    async def _apply(self, partition: int, events: Sequence[StoredEvent]) -> int:
        """Apply events of a partition in one transaction; if it fails, those before the one that fails, alone."""
        try:
            applied = await self._database.in_transaction(
                lambda tx: self._apply_in(tx, partition, events), ambient=True
            )
        except DatabaseUnavailable as error:  # no failure of the event
            log.warning("event_consumer_failed", consumer=self.consumer.name, cause=repr(error.__cause__ or error))
            return 0
        except Exception as error:  # noqa: BLE001  # an event may raise anything; the consumer continues
            if len(events) == 1:
                await self._failed(partition, events[0], error)
                return 0
        else:
            return applied
        applied = 0
        while applied < len(events) and await self._apply(partition, [events[applied]]):
            applied += 1
        return applied

    async def _failed(self, partition: int, event: StoredEvent, error: Exception) -> None:
        """Store the failure, and wait before the next attempt, unless another process has applied the event since."""
        name = self.consumer.name
        attempts = await self._database.find(
            queries.fail,
            match_consumer=name,
            match_partition=partition,
            match_position=event.position,
            error=storable(f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]),
        )
        if attempts is not None:
            self._retry_at[partition] = time.monotonic() + BACKOFF.delay_seconds_after(attempts)
            log.error("event_failed", consumer=name, event_id=self._id_of(event), attempt=attempts, exc_info=error)

    async def _apply_in(self, tx: Transaction, partition: int, events: Sequence[StoredEvent]) -> int:
        of_partition = {"consumer": self.consumer.name, "partition": partition}
        begun = await tx.find(queries.lock_position, **of_partition)
        if begun is None:  # another process applies events of this partition
            return 0
        position = begun
        for event in events:
            if event.position > position:  # otherwise it is a repeat
                if event.position != position + 1:
                    raise EventsMissing(f"after {position} the next event is {event.position}")
                await self._apply_one(tx, event)
                position = event.position
        if position > begun:
            of_match = {f"match_{name}": value for name, value in of_partition.items()}
            await tx.run(queries.set_position, **of_match, position=position)
        return position - begun

    async def _apply_one(self, tx: Transaction, stored: StoredEvent) -> None:
        payload = self.consumer.topic.decode(stored.payload)
        event = Event(self._id_of(stored), stored.key, stored.appended_at, payload)
        async with asyncio.timeout(APPLY_SECONDS):
            await self.consumer.apply(tx, event)

    def _id_of(self, event: StoredEvent) -> str:
        return f"{self.consumer.topic.name}:{event.partition}:{event.position}"
