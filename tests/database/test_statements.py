"""Statements whose columns come from a table or a record type, on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import pytest
from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import JSON, Column, Integer, MetaData, Table, Text, func, select

from restwell.database import (
    Database,
    Flag,
    Id,
    Timestamp,
    columns_of,
    insert_or_ignore,
    insert_row,
    open_database,
    param,
    query,
    upsert,
)
from restwell.ids import new_id

pages = Table(
    "pages",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("pinned", Flag, nullable=False),
    Column("reads", Integer, nullable=False),
    Column("tags", JSON),
    Column("at", Timestamp),
)
CREATE = {
    "sqlite": "CREATE TABLE pages (id BLOB PRIMARY KEY, slug TEXT UNIQUE, state TEXT, pinned BOOLEAN, reads INTEGER,"
    " tags JSON, at BIGINT)",
    "postgresql": "CREATE TABLE pages (id uuid PRIMARY KEY, slug text UNIQUE, state text, pinned boolean,"
    " reads integer, tags json, at timestamptz)",
}


class State(StrEnum):
    DRAFT = "draft"
    PUBLIC = "public"


class Page(Struct, frozen=True):
    id: UUID
    slug: str
    state: State
    pinned: bool
    reads: int
    tags: str | None
    at: datetime | None


class Line(Struct, frozen=True):
    slug: str
    length: int


PAGE = Page(
    id=new_id(),
    slug="home",
    state=State.PUBLIC,
    pinned=True,
    reads=7,
    tags='["a", "ü"]',
    at=datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC),
)

all_pages = query("pages.all", select(*columns_of(pages, Page)).order_by(pages.c.slug).limit(9), into=Page)
lines = query("pages.lines", select(*columns_of(pages, Line, length=func.length(pages.c.slug))).limit(9), into=Line)
add = query("pages.add", insert_row(pages))
add_draft = query("pages.add_draft", insert_row(pages, Page, state=State.DRAFT, reads=0, at=None))
add_named = query("pages.add_named", insert_row(pages, ("id", "slug"), state="draft", pinned=False, reads=func.abs(-2)))
add_new = query("pages.add_new", insert_or_ignore(pages, returning=[pages.c.id]), into=UUID)
put = query("pages.put", upsert(pages))
put_returning = query("pages.put_returning", upsert(pages, Page, returning=columns_of(pages, Page)), into=Page)
count_read = query(
    "pages.count_read",
    upsert(
        pages,
        on=["slug"],
        update={"reads": pages.c.reads + 1, "at": param("at")},
        where=pages.c.pinned.is_(True),
        reads=1,
    ),
)


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=2) as opened:
        async with opened.transaction() as tx:
            await tx.run_script(CREATE[opened.dialect])
        yield opened


async def test_a_struct_is_inserted_and_read_without_naming_a_column(database: Database) -> None:
    """Breaks when a parameter does not get the type of its column: SQLite refuses the UUID."""
    await database.run(add, **asdict(PAGE))
    assert await database.all(all_pages) == [PAGE]
    assert await database.all(lines) == [Line("home", 4)]


async def test_constants_and_expressions_of_an_insert_are_no_arguments(database: Database) -> None:
    await database.run(add_draft, id=PAGE.id, slug="a", pinned=False, tags=None)
    await database.run(add_named, id=new_id(), slug="b")
    first, second = await database.all(all_pages)
    assert first == replace(PAGE, slug="a", state=State.DRAFT, pinned=False, reads=0, tags=None, at=None)
    assert second == replace(first, id=second.id, slug="b", reads=2)
    with pytest.raises(TypeError, match=r"pages\.add_draft has no argument reads"):
        await database.run(add_draft, id=new_id(), slug="c", pinned=False, tags=None, reads=1)


async def test_insert_or_ignore_leaves_an_existing_row_as_it_is(database: Database) -> None:
    assert await database.find(add_new, **asdict(PAGE)) == PAGE.id
    assert await database.find(add_new, **asdict(replace(PAGE, id=new_id(), reads=9))) is None
    assert await database.find(add_new, **asdict(replace(PAGE, slug="other"))) is None
    assert await database.all(all_pages) == [PAGE]


async def test_upsert_replaces_the_row_with_the_same_primary_key(database: Database) -> None:
    changed = replace(PAGE, slug="start", state=State.DRAFT, pinned=False, reads=8, tags=None, at=None)
    assert await database.run(put, **asdict(PAGE)) == 1
    assert await database.run(put, **asdict(changed)) == 1
    assert await database.all(all_pages) == [changed]
    assert await database.one(put_returning, **asdict(PAGE)) == PAGE


async def test_upsert_sets_only_what_it_is_told_and_only_where(database: Database) -> None:
    """Breaks when ``update`` is ignored, or ``where``."""
    values = {name: value for name, value in asdict(PAGE).items() if name != "reads"}
    for _ in range(3):
        await database.run(count_read, **{**values, "id": new_id(), "tags": None})
    (found,) = await database.all(all_pages)
    assert (found.reads, found.at) == (3, PAGE.at)
    await database.run(put, **asdict(replace(found, pinned=False)))
    assert await database.run(count_read, **values) == 0
    assert (await database.all(all_pages))[0].reads == 3


def test_a_column_that_does_not_exist_is_refused_when_the_query_is_written() -> None:
    with pytest.raises(
        TypeError, match=r"pages has no column length for Line\.length: rename the field, or pass length="
    ):
        columns_of(pages, Line)
    with pytest.raises(TypeError, match="pages has no column colour"):
        insert_row(pages, colour="red")
    with pytest.raises(TypeError, match="pages has no column length"):
        upsert(pages, Line)
    with pytest.raises(TypeError, match="pages has no column title"):
        insert_or_ignore(pages, ["title"])
    with pytest.raises(TypeError, match="int is no Struct, dataclass"):
        columns_of(pages, int)
