"""How far the consumers are: what ``restwell events`` and ``/metrics`` show.

The number of unread events is a difference of positions, so that it costs the same with a million of them.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from restwell.database import Database
from restwell.events import _queries as queries
from restwell.events._consumer import Consumer, Consumers
from restwell.events._queries import Failing


class FailingEvent(Struct, frozen=True):
    """An event that could not be applied so far. ``error``: of the last attempt."""

    id: str
    attempts: int
    error: str


class ConsumerStatus(Struct, frozen=True):
    """``unread``: the number of events that are not applied; ``oldest_at``: when the oldest of them was appended.

    Both are None for the events of another service, which alone knows its newest ones.
    """

    name: str
    topic: str
    unread: int | None
    oldest_at: datetime | None
    failing: list[FailingEvent]


async def statuses_of(database: Database, consumers: Consumers) -> list[ConsumerStatus]:
    """The status of each consumer, by name. Raises ServiceUnavailable."""
    if not consumers.runs:
        return []  # the application may have no tables
    failing: dict[str, list[Failing]] = defaultdict(list)
    for each in await database.primary.all(queries.failing):
        failing[each.consumer].append(each)
    found = sorted((each.consumer for each in consumers.runs), key=lambda one: one.name)
    return [await _status_of(database.primary, each, failing[each.name]) for each in found]


async def _status_of(database: Database, consumer: Consumer[Any], failing: Sequence[Failing]) -> ConsumerStatus:
    topic = consumer.topic.name
    events = [FailingEvent(f"{topic}:{one.partition}:{one.position + 1}", one.attempts, one.error) for one in failing]
    if consumer.reader is not None:
        return ConsumerStatus(consumer.name, topic, None, None, events)
    partitions = await database.all(queries.unread, topic=topic, consumer=consumer.name)
    times = [each.oldest_at for each in partitions if each.oldest_at is not None]
    unread = sum(each.unread for each in partitions)
    return ConsumerStatus(consumer.name, topic, unread, min(times, default=None), events)
