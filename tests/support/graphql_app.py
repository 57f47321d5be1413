"""A library with GraphQL: books of a shelf, their authors, which are read together, and reviews with keys."""

from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy import insert, select

from restwell import App, Restwell
from restwell.auth import Actor
from restwell.database import Database, page_query, param, query
from restwell.errors import Conflict, NotFound, Unauthorized
from restwell.graphql import Field, GraphQL, Limits, relation
from restwell.pages import Cursors, Page, PageFilter
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Controller, Feature, Part, Response, created, get, post, requires_role, signed_in
from tiny.app import MIGRATIONS, USERS, add_note, note_by_id, notes

GUESSES: Final = Rate("guesses", 3, seconds=60)


class Author(Struct, frozen=True):
    id: int
    text: str


class Book(Struct, frozen=True):
    id: int
    text: str

    @property
    def author_id(self) -> int:
        return self.id % 5 + 1


class Review(Struct, frozen=True):
    id: int
    text: Annotated[str, Meta(min_length=1, max_length=20)]
    book_ids: list[int] = []


class ReviewRequest(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=20)]
    book_ids: Annotated[list[int], Meta(max_length=3)] = []


class Taken(Conflict):
    code, message = "taken", "There is such a review."


class Hidden(Struct, frozen=True):
    role: str
    user_id: UUID


class BookFilter(PageFilter, frozen=True, kw_only=True):
    min_id: Annotated[int, Meta(ge=0, le=1_000)] = 0


page: Final = page_query(
    "books.page",
    select(notes.c.id, notes.c.text).where(notes.c.id >= param("min_id")),
    [notes.c.id],
    Book,
)
author_by_id: Final = query(
    "authors.by_id", select(notes.c.id, notes.c.text).where(notes.c.id == param("id")), into=Author, batch_on="id"
)


class Books(Controller):
    path = "/books"

    @get()
    async def list_books(self, filters: BookFilter, database: Database, cursors: Cursors) -> Page[Book]:
        """List books."""
        return await cursors.fetch(database, page, filters, min_id=filters.min_id)

    @get("/{book_id}")
    async def get_book(self, book_id: int, database: Database) -> Book:
        """Read a book."""
        found = await database.find(note_by_id, id=book_id)
        if found is None:
            raise NotFound
        return Book(found.id, found.text)

    @post("/reviews", guards=[signed_in], idempotent=True, raises=[Taken])
    async def add_review(self, data: ReviewRequest, database: Database) -> Response[Review]:
        """Add a review."""
        if data.text == "taken":
            raise Taken
        async with database.transaction() as tx:
            note = await tx.one(add_note, text=data.text)
        return created(Review(note.id, note.text, data.book_ids), note.id)

    @get("/hidden", guards=[requires_role("owner")])
    async def get_hidden(self, actor: Actor) -> Hidden:
        """Read what only the owner sees."""
        return Hidden(actor.role, actor.id)

    @get("/guess", rate_limit=GUESSES)
    async def guess(self, word: str) -> bool:
        """Guess a word."""
        return word == "hello"

    @get("/broken")
    async def get_broken(self) -> Book:
        """Fail."""
        raise ValueError("hunter2")


@relation
async def author(book: Book, database: Database) -> Author | None:
    """Who wrote it."""
    found = await database.find(author_by_id, id=book.author_id)
    if found is None:
        raise NotFound
    return found


@relation(guards=[signed_in])
async def reader(book: Book, actor: Actor) -> str:
    """Who reads it."""
    return f"{actor.role} reads {book.id}"


async def authenticate(token: str) -> Actor:
    """The token is the role, and each role has one user."""
    if token not in USERS:
        raise Unauthorized
    return Actor(USERS[token], token, USERS[token], frozenset())


def library(**changes: Any) -> GraphQL:
    """The fields of the library, with changes."""
    declared: dict[str, Any] = {
        "queries": {
            "books": Books.list_books,
            "book": Books.get_book,
            "hidden": "get_hidden",
            "guess": Field(handler=Books.guess),
            "broken": Books.get_broken,
        },
        "mutations": {"addReview": Books.add_review},
        "relations": [author, reader],
        "limits": Limits(cost=500),
    }
    return GraphQL(**declared | changes)


def create_app(settings: Settings, *parts: Part, **changes: Any) -> App:
    return Restwell(settings, name="library").app(
        [Books, *parts, library(**changes), Feature()], authenticate=authenticate, migrations=MIGRATIONS
    )


fill: Final = query("books.fill", insert(notes).values(text=param("text")))
