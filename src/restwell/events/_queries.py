"""SQL of the outbox and the inbox."""

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    Column,
    ScalarSelect,
    Select,
    and_,
    delete,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
)

from restwell.database import columns_of, insert_or_ignore, insert_row, param, query, upsert
from restwell.database._clock import db_now
from restwell.events._tables import inbox, outbox, partitions

PARTITIONS: Final = 16
"""The number of partitions of a topic. It must not change: a key would move to another partition."""
MAX_EVENTS: Final = 32
"""The most events of a partition that are read at once, and applied in one transaction."""
DELETE_BATCH: Final = 1_000
MAX_FAILING: Final = 1_000


class StoredEvent(Struct, frozen=True):
    """An event of a topic. The positions of a partition are 1, 2, 3 ..., in the order of the commits."""

    partition: int
    position: int
    key: str
    payload: str
    appended_at: datetime


class Partition(Struct, frozen=True):
    """A partition with its newest and its oldest event, if that is not deleted."""

    partition: int
    position: int
    oldest: int | None


class Position(Struct, frozen=True):
    partition: int
    position: int


class Unread(Struct, frozen=True):
    """A partition: how many of its events a consumer has not applied, and when the oldest of them was appended."""

    partition: int
    unread: int
    oldest_at: datetime | None


class Failing(Struct, frozen=True):
    """A partition where a consumer could not apply the event after ``position``."""

    consumer: str
    partition: int
    position: int
    attempts: int
    error: str


# --- outbox

advance: Final = query(
    "events.advance",
    upsert(
        partitions,
        update={"position": partitions.c.position + param("position")},
        returning=[partitions.c.position],
    ),
    into=int,
)
insert: Final = query(
    "events.insert",
    insert_row(
        outbox,
        ["topic", "partition", "position", "key", "payload"],
        appended_at=db_now(),
        expires_at=db_now(in_seconds="retention_seconds"),
    ),
)
_oldest: Final = (
    select(func.min(outbox.c.position))
    .where(outbox.c.topic == partitions.c.topic, outbox.c.partition == partitions.c.partition)
    .scalar_subquery()
)
partitions_of: Final = query(
    "events.partitions_of",
    select(*columns_of(partitions, Partition, oldest=_oldest))
    .where(partitions.c.topic == param("topic"))
    .limit(PARTITIONS),
    into=Partition,
)


def _next_of(partition: int) -> Select[Any]:
    after = outbox.c.position > param(f"after_{partition}")
    of_partition = (outbox.c.topic == param("topic"), outbox.c.partition == literal_column(str(partition)), after)
    events = select(*columns_of(outbox, StoredEvent)).where(*of_partition).order_by(outbox.c.position)
    return select(events.limit(MAX_EVENTS).subquery())


# One statement for all partitions, so that a backlog in one of them does not delay the others.
read: Final = query("events.read", union_all(*map(_next_of, range(PARTITIONS))), into=StoredEvent)
_key: Final = tuple_(outbox.c.topic, outbox.c.partition, outbox.c.position)
delete_expired: Final = query(
    "events.delete_expired",
    delete(outbox).where(
        _key.in_(
            select(outbox.c.topic, outbox.c.partition, outbox.c.position)
            .where(outbox.c.expires_at < db_now())
            .order_by(outbox.c.expires_at)
            .limit(DELETE_BATCH)
        )
    ),
)

# --- inbox

positions_of: Final = query(
    "events.positions_of",
    select(inbox.c.partition, inbox.c.position).where(inbox.c.consumer == param("consumer")).limit(PARTITIONS),
    into=Position,
)
begin: Final = query("events.begin", insert_or_ignore(inbox, ["consumer", "partition", "position"]))
lock_position: Final = query(
    "events.lock_position",
    select(inbox.c.position)
    .where(inbox.c.consumer == param("consumer"), inbox.c.partition == param("partition"))
    .with_for_update(skip_locked=True),
    into=int,
)
set_position: Final = query(
    "events.set_position",
    update(inbox)
    .where(inbox.c.consumer == param("match_consumer"), inbox.c.partition == param("match_partition"))
    .values(position=param("position"), attempts=0, error=""),
)
fail: Final = query(
    "events.fail",
    update(inbox)
    .where(
        inbox.c.consumer == param("match_consumer"),
        inbox.c.partition == param("match_partition"),
        inbox.c.position < param("match_position"),  # otherwise another process has applied the event
    )
    .values(attempts=inbox.c.attempts + 1, error=param("error"))
    .returning(inbox.c.attempts),
    into=int,
)
failing: Final = query(
    "events.failing",
    select(*columns_of(inbox, Failing)).where(inbox.c.attempts > 0).limit(MAX_FAILING),
    into=Failing,
)
_not_applied: Final = (
    outbox.c.topic == partitions.c.topic,
    outbox.c.partition == partitions.c.partition,
    outbox.c.position > func.coalesce(inbox.c.position, 0),  # a new consumer has no position
)


def _of_first_unread(column: Column[Any]) -> ScalarSelect[Any]:
    return select(column).where(*_not_applied).order_by(outbox.c.position).limit(1).scalar_subquery()


# The events are not counted: their positions have no gaps.
unread: Final = query(
    "events.unread",
    select(
        *columns_of(
            partitions,
            Unread,
            unread=partitions.c.position
            - func.coalesce(inbox.c.position, _of_first_unread(outbox.c.position) - 1, partitions.c.position),
            oldest_at=_of_first_unread(outbox.c.appended_at),
        )
    )
    .select_from(
        partitions.outerjoin(
            inbox, and_(inbox.c.consumer == param("consumer"), inbox.c.partition == partitions.c.partition)
        )
    )
    .where(partitions.c.topic == param("topic"))
    .limit(PARTITIONS),
    into=Unread,
)
