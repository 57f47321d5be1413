"""An application that counts: each count of a key is an event, which consumers of this or another service apply."""

import os
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select

from events_app.broken import break_on_purpose
from restwell import App, Project, Restwell
from restwell.database import Transaction, insert_row, query, upsert
from restwell.events import Consumer, Event, EventBatch, EventReader, Events, Topic
from restwell.settings import Settings
from restwell.web import Feature, get

SOURCE = "EVENTS_APP_SOURCE"
"""The URL of the service whose events are applied; without it, those of the own database."""
MIGRATIONS = Path(__file__).with_name("migrations")


class Counted(Struct, frozen=True):
    number: int


counts = Topic("counts", Counted)

metadata = MetaData()
counters = Table("counters", metadata, Column("key", Text, primary_key=True), Column("number", Integer, nullable=False))
applied = Table(
    "applied",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("number", Integer, nullable=False),
)
count = query(
    "counters.count",
    upsert(
        counters,
        ["key"],
        number=1,
        update={"number": counters.c.number + 1},
        returning=[counters.c.number],
    ),
    into=int,
)
add_applied = query("applied.add", insert_row(applied, ["consumer", "key", "number"]))
count_applied = query("applied.count", select(func.count().label("n")).select_from(applied), into=int)
list_applied = query(
    "applied.list", select(applied.c.key, applied.c.number).order_by(applied.c.id).limit(10_000), into=tuple
)
_place = func.row_number().over(partition_by=(applied.c.consumer, applied.c.key), order_by=applied.c.id).label("place")
_placed = select(applied.c.number, _place).subquery()
count_misplaced = query(
    "applied.misplaced",
    select(func.count().label("n")).select_from(_placed).where(_placed.c.number != _placed.c.place),
    into=int,
)
total = query("counters.total", select(func.coalesce(func.sum(counters.c.number), 0).label("n")), into=int)


class HttpReader(EventReader):
    """Reads the events of another service."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url)

    async def read(self, topic: Topic[Any], after: str) -> EventBatch:
        response = await self._http.get(f"/events/{topic.name}", params={"after": after})
        response.raise_for_status()
        return msgspec.json.decode(response.content, type=EventBatch)


class Recorder(Consumer[Counted]):
    """Records each event, in the order in which they are applied."""

    name = "recorder"
    topic = counts

    def __init__(self) -> None:
        self.reader = HttpReader(os.environ[SOURCE]) if SOURCE in os.environ else None

    async def apply(self, tx: Transaction, event: Event[Counted]) -> None:
        await tx.run(add_applied, consumer=self.name, key=event.key, number=event.payload.number)


@get("/events/counts")
async def list_counts(events: Events, after: str = "") -> EventBatch:
    """List the next events."""
    return await events.read(counts, after)


async def add_count(tx: Transaction, events: Events, key: str) -> int:
    """Count, and append the event. The row of the counter is locked until the end of the transaction."""
    number = await tx.one(count, key=key)
    events.append(tx, counts, key, Counted(number))
    return number


def create_app(settings: Settings) -> App:
    break_on_purpose()
    return Restwell(settings, name="events_app").app(
        [list_counts, Feature(services=[Recorder])], migrations=MIGRATIONS, metadata=metadata
    )


project = Project(name="events_app", settings=Settings, create_app=create_app)
