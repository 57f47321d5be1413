"""A small application for the tests of the kit: notes that any client reads and adds, and the account of a user.

The page of notes and each note are cached, a new note invalidates the page, and guesses have their own rate limit. A
reminder is a job that adds a note later; its route is idempotent.
"""

from asyncio import gather
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from restwell import App, Project, Restwell
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, param, query
from restwell.errors import NotFound, Unauthorized
from restwell.jobs import JobContext, Jobs, job
from restwell.pages import PageFilter
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import (
    Controller,
    Feature,
    Stream,
    Version,
    get,
    post,
    public,
    requires_role,
    signed_in,
)

GREETING = "hello"
MIGRATIONS = Path(__file__).with_name("migrations")
SOMEONE = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")
USERS: Final = {"owner": SOMEONE, "guest": UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b6")}
GUESSES: Final = Rate("guesses", 10, seconds=60)

notes = Table("notes", MetaData(), Column("id", Integer, primary_key=True), Column("text", Text, nullable=False))


class Note(Struct, frozen=True):
    id: int
    text: str


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=20)]
    tags: list[Annotated[str, Meta(max_length=5)]] = []


class Notes(Struct, frozen=True):
    items: list[Note]


class Account(Struct, frozen=True):
    id: UUID
    role: str


class Reminder(Struct, frozen=True):
    job_id: UUID


class Guess(Struct, frozen=True, forbid_unknown_fields=True):
    word: Annotated[str, Meta(min_length=1, max_length=20)]


add_note = query("notes.add", insert(notes).values(text=param("text")).returning(notes.c.id, notes.c.text), into=Note)
note_by_id = query(
    "notes.by_id", select(notes.c.id, notes.c.text).where(notes.c.id == param("id")), into=Note, batch_on="id"
)
list_notes = query("notes.list", select(notes.c.id, notes.c.text).order_by(notes.c.id).limit(param("count")), into=Note)

notes_after = query(
    "notes.after",
    select(notes.c.id, notes.c.text).where(notes.c.id > param("last")).order_by(notes.c.id).limit(param("count")),
    into=Note,
)


class NoteController(Controller):
    path = "/notes"

    @get(cache=public(ttl_seconds=60, tags=["notes"]))
    async def list(self, filters: PageFilter, database: Database) -> Notes:
        """List notes."""
        return Notes(await database.all(list_notes, count=filters.limit))

    @get("/{number}", cache=public(ttl_seconds=60, tags=["note:{number}"]))
    async def read(self, number: int, database: Database) -> Note:
        """Read a note."""
        note = await database.find(note_by_id, id=number)
        if note is None:
            raise NotFound
        return note

    @post()
    async def add(self, data: Draft, database: Database, cache: Cache) -> Note:
        """Add a note."""
        async with database.transaction() as tx:
            note = await tx.one(add_note, text=data.text)
            cache.invalidate(tx, "notes", f"note:{note.id}")
        return note

    @get("/one-by-one")
    async def list_slowly(self, database: Database) -> Notes:
        """List notes with one query each: an N+1 query."""
        return Notes([await database.one(note_by_id, id=number) for number in (1, 2, 3)])

    @get("/one-by-one-on-purpose", query_budget={"notes.by_id": 3})
    async def list_slowly_on_purpose(self, database: Database) -> Notes:
        """List notes with one query each, as declared."""
        return Notes([await database.one(note_by_id, id=number) for number in (1, 2, 3)])

    @get("/together")
    async def list_together(self, database: Database) -> Notes:
        """List notes with batched reads."""
        return Notes(list(await gather(*(database.one(note_by_id, id=number) for number in (1, 2, 3)))))

    @get("/stream", query_budget={"notes.after": 1_000})
    async def stream(self, database: Database) -> Stream[str]:
        """Stream every note, page by page."""

        async def lines() -> AsyncIterator[bytes]:
            last = 0
            while page := await database.all(notes_after, last=last, count=2):
                last = page[-1].id
                yield "".join(f"{note.text}\n" for note in page).encode()

        return Stream(open=lines, media_type="text/plain")

    @get("/greeting")
    async def greet(self) -> str:
        """Greet."""
        return GREETING

    @get("/secrets", guards=[requires_role("owner")])
    async def read_secrets(self, actor: Actor) -> str:
        """Read the secrets of the owner."""
        return actor.role

    @get("/{number}/broken")
    async def break_down(self, number: int) -> str:
        """Break."""
        password = "hunter2"  # must not appear in a traceback
        raise ValueError(number, len(password))


class AccountController(Controller):
    path = "/account"
    guards = [signed_in]

    @get()
    async def read(self, actor: Actor) -> Account:
        """Read the account of the caller."""
        return Account(actor.id, actor.role)


class GuessController(Controller):
    path = "/guesses"

    @post(rate_limit=GUESSES)
    async def guess(self, data: Guess) -> bool:
        """Guess the secret of the owner."""
        return data.word == GREETING

    @post("/hints", rate_limit=GUESSES)
    async def get_hint(self) -> str:
        """Get a hint, which counts as a guess."""
        return GREETING[0]


@job(max_attempts=3)
async def add_reminder(context: JobContext, text: str) -> None:
    async with context.completion() as tx:
        note = await tx.one(add_note, text=text)
        context.get(Cache).invalidate(tx, "notes", f"note:{note.id}")


class ReminderController(Controller):
    path = "/reminders"
    guards = [signed_in]

    @post(status_code=202, idempotent=True)
    async def add(self, data: Draft, database: Database, jobs: Jobs) -> Reminder:
        """Add a note later."""
        async with database.transaction() as tx:
            return Reminder(await jobs.enqueue(tx, add_reminder, text=data.text))


CONTROLLERS: Final = (NoteController, AccountController, GuessController, ReminderController)


async def authenticate(token: str) -> Actor:
    """The token is the role, and each role has one user."""
    if token not in USERS:
        raise Unauthorized
    return Actor(USERS[token], token, USERS[token])


def create_app(settings: Settings, migrations: Path | None = MIGRATIONS) -> App:
    kit = Restwell(settings, name="tiny")
    feature = Feature(controllers=CONTROLLERS, jobs=[add_reminder])
    return kit.app([Version("/v1", [feature])], description="Notes.", authenticate=authenticate, migrations=migrations)


async def seed(database: Database) -> str:
    """Add three notes to an empty database."""
    if await database.all(list_notes, count=1):
        return "notes are there already"
    await database.run_many(add_note, [{"text": text} for text in ("one", "two", "three")])
    return "3 notes"


project = Project(name="tiny", settings=Settings, create_app=create_app, seed=seed)


def app_of(settings: Settings, *controllers: type[Controller]) -> App:
    """An application of these controllers, without authentication."""

    async def authenticate(_: str) -> Actor:
        raise NotImplementedError

    return Restwell(settings, name="things").app([Version("/v1", controllers)], authenticate=authenticate)
