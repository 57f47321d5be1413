"""The library over gRPC: its code is generated when this module is imported."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from grpc_tools import protoc
from msgspec import Struct
from sqlalchemy import text

from graphql_app import Book, Books, authenticate
from restwell import App, Restwell
from restwell.database import Database, query
from restwell.errors import Conflict
from restwell.grpc import Grpc, rpc
from restwell.observability._trace import remaining_seconds, traceparent
from restwell.settings import Settings
from restwell.web import Part, get, post, signed_in
from tiny.app import MIGRATIONS
from tiny.app import project as tiny

PROTO: Final = Path(__file__).with_name("proto")


def generate(source: Path, file: str, target: Path) -> None:
    """Run protoc on a file of the folder ``source``."""
    arguments = [f"-I{source}", f"-I{files('grpc_tools') / '_proto'}", f"--python_out={target}"]
    assert protoc.main(["protoc", *arguments, f"--grpc_python_out={target}", file]) == 0


def _generated() -> tuple[Any, Any]:
    folder = Path(mkdtemp(prefix="restwell-library-"))
    generate(PROTO, "library/v1/library.proto", folder)
    sys.path.insert(0, str(folder))
    return import_module("library.v1.library_pb2"), import_module("library.v1.library_pb2_grpc")


pb, pb_grpc = _generated()
Servicer: Any = pb_grpc.LibraryServiceServicer

sleep: Final = query(
    "library.sleep", {"postgresql": text("SELECT count(pg_sleep(30))"), "sqlite": text("SELECT 1")}, into=int
)


@get("/worker")
async def get_worker() -> int:
    """Read the id of the process."""
    return os.getpid()


class WaitFilter(Struct, frozen=True, kw_only=True):
    seconds: float = 0.0


class Waited:
    """How many handlers have begun to wait, were cancelled and have finished; deadline and trace of the last."""

    began = 0
    cancelled = 0
    finished = 0
    remaining: float | None = None
    trace_id = ""


@post("/wait")
async def wait(data: WaitFilter, database: Database) -> None:
    """Wait; on PostgreSQL in the database."""
    Waited.began += 1
    Waited.remaining = remaining_seconds()
    Waited.trace_id = (traceparent() or "")[3:35]
    try:
        if database.dialect == "postgresql":
            await database.one(sleep)
        else:
            await asyncio.sleep(data.seconds)
    except asyncio.CancelledError:
        Waited.cancelled += 1
        raise
    Waited.finished += 1


class WatchFilter(Struct, frozen=True, kw_only=True):
    kind: str = ""
    count: int = 3


@get("/books/changes")
async def watch_books(filters: WatchFilter) -> AsyncIterator[Book]:
    """Send books, and what ``kind`` says."""
    return _books(filters)


async def _books(filters: WatchFilter) -> AsyncIterator[Book]:
    try:
        for number in range(filters.count):
            yield Book(number, "x" * 10)
        if filters.kind == "conflict":
            raise Conflict
        if filters.kind == "broken":
            raise ValueError("hunter2")
        while filters.kind == "endless":
            await asyncio.sleep(0.01)
    finally:
        Waited.finished += 1


class Arrivals:
    """The books that ``watch_hidden`` sends after a first one, each on one stream; how many streams there are."""

    books: asyncio.Queue[Book] = asyncio.Queue()
    readers = 0


@get("/books/hidden/changes", guards=[signed_in])
async def watch_hidden() -> AsyncIterator[Book]:
    """Send a book, and others as they arrive."""
    return _arriving()


async def _arriving() -> AsyncIterator[Book]:
    Arrivals.readers += 1
    try:
        yield Book(0, "first")
        while True:
            yield await Arrivals.books.get()
    finally:
        Arrivals.readers -= 1


class Library(Servicer):  # type: ignore[misc]  # generated
    GetBook = rpc(Books.get_book)
    ListBooks = rpc(Books.list_books)
    AddReview = rpc(Books.add_review)
    GetHidden = rpc("get_hidden")
    Guess = rpc(Books.guess)
    GetBroken = rpc(Books.get_broken)
    GetWorker = rpc(get_worker)
    Wait = rpc(wait)
    WatchBooks = rpc(watch_books)
    WatchHidden = rpc(watch_hidden)


def create_app(settings: Settings, *parts: Part, **limits: int) -> App:
    return Restwell(settings, name="library").app(
        [Books, *parts, Grpc(Library, **limits)], authenticate=authenticate, migrations=MIGRATIONS
    )


project: Final = replace(tiny, create_app=create_app)
