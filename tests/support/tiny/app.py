"""A small application for the tests of the kit: notes that any client reads and adds, and the account of a user.

The page of notes and each note are cached, a new note invalidates the page, and guesses have their own rate limit. A
reminder is a job that adds a note later; its route is idempotent.
"""

from asyncio import gather
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final, cast
from uuid import UUID

from litestar.exceptions import HTTPException
from litestar.response import Stream
from msgspec import Meta, Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from restwell import App, Project, Restwell
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Transaction, param, query
from restwell.errors import NotFound, Unauthorized
from restwell.jobs import JobContext, Jobs, job
from restwell.pages import PageFilter
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import (
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    Version,
    get,
    idempotent,
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
    database: Database
    cache: Cache

    @get(cached=public(ttl_seconds=60, tags=["notes"]))
    async def list(self, filters: Inject[PageFilter]) -> Notes:
        """List notes."""
        return Notes(await self.database.all(list_notes, count=filters.limit))

    @get("/{number:int}", cached=public(ttl_seconds=60, tags=["note:{number}"]))
    async def read(self, number: FromPath[int]) -> Note:
        """Read a note."""
        note = await self.database.find(note_by_id, id=number)
        if note is None:
            raise NotFound
        return note

    @post()
    async def add(self, data: JSONBody[Draft]) -> Note:
        """Add a note."""
        async with self.database.transaction() as tx:
            note = await tx.one(add_note, text=data.text)
            self.cache.invalidate(tx, "notes", f"note:{note.id}")
        return note

    @get("/one-by-one")
    async def list_slowly(self) -> Notes:
        """List notes with one query each: an N+1 query."""
        return Notes([await self.database.one(note_by_id, id=number) for number in (1, 2, 3)])

    @get("/one-by-one-on-purpose", query_budget={"notes.by_id": 3})
    async def list_slowly_on_purpose(self) -> Notes:
        """List notes with one query each, as declared."""
        return Notes([await self.database.one(note_by_id, id=number) for number in (1, 2, 3)])

    @get("/together")
    async def list_together(self) -> Notes:
        """List notes with batched reads."""
        return Notes(list(await gather(*(self.database.one(note_by_id, id=number) for number in (1, 2, 3)))))

    @get("/stream", query_budget={"notes.after": 1_000})
    async def stream(self) -> Response[str]:
        """Stream every note, page by page."""

        async def lines() -> AsyncIterator[str]:
            last = 0
            while page := await self.database.all(notes_after, last=last, count=2):
                last = page[-1].id
                yield "".join(f"{note.text}\n" for note in page)

        return cast("Response[str]", Stream(lines, media_type="text/plain"))

    @get("/greeting")
    async def greet(self) -> str:
        """Greet."""
        return GREETING

    @get("/secrets", guards=[requires_role("owner")])
    async def read_secrets(self, actor: Inject[Actor]) -> str:
        """Read the secrets of the owner."""
        return actor.role

    @get("/{number:int}/broken")
    async def break_down(self, number: FromPath[int]) -> str:
        """Break."""
        if number == 418:
            raise HTTPException(status_code=number)  # an error of the framework without an AppError
        password = "hunter2"  # must not appear in a traceback
        raise ValueError(number, len(password))


class AccountController(Controller):
    path = "/account"
    guards = [signed_in]

    @get()
    async def read(self, actor: Inject[Actor]) -> Account:
        """Read the account of the caller."""
        return Account(actor.id, actor.role)


class GuessController(Controller):
    path = "/guesses"

    @post(rate_limit=GUESSES)
    async def guess(self, data: JSONBody[Guess]) -> bool:
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
    jobs: Jobs

    @post(status_code=202)
    @idempotent
    async def add(self, data: JSONBody[Draft], tx: Transaction) -> Reminder:
        """Add a note later."""
        return Reminder(await self.jobs.enqueue(tx, add_reminder, text=data.text))


CONTROLLERS: Final = (NoteController, AccountController, GuessController, ReminderController)


async def authenticate(token: str) -> Actor:
    """The token is the role, and each role has one user."""
    if token not in USERS:
        raise Unauthorized
    return Actor(USERS[token], token, USERS[token])


def create_app(settings: Settings, migrations: Path | None = MIGRATIONS) -> App:
    kit = Restwell(settings, name="tiny")
    return kit.app(
        version="1.0.0",
        description="Notes.",
        versions=[Version("/v1", CONTROLLERS)],
        provide=[kit.database, kit.cache],
        jobs=[add_reminder],
        authenticate=authenticate,
        migrations=migrations,
    )


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

    return Restwell(settings, name="things").app(
        version="1.0.0",
        description="Things.",
        versions=[Version("/v1", controllers)],
        provide=[],
        authenticate=authenticate,
    )
