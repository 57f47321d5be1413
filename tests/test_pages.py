"""Pages of a list on both databases. Cursors are opaque, signed and valid only in their scope."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Column, MetaData, Table, Text, func, select

from restwell.database import (
    Database,
    Id,
    PageQuery,
    Timestamp,
    columns_of,
    insert_row,
    open_database,
    page_query,
    param,
    query,
)
from restwell.errors import Invalid, InvalidCursor
from restwell.pages import (
    MAX_CURSOR_CHARS,
    MAX_OFFSET,
    Cursors,
    OffsetFilter,
    OffsetPage,
    PageFilter,
    fetch_offset_page,
)
from restwell.web._decoding import decode_query

cursors = Cursors(b"k" * 32)
things = Table(
    "things",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
)


class Thing(Struct, frozen=True):
    id: UUID
    kind: str
    at: datetime


THINGS = [
    Thing(UUID(int=number), kind, datetime(2026, 1, 1 + number // 3, tzinfo=UTC))
    for number, kind in enumerate(("big", "small") * 6)
]
_all = select(*columns_of(things, Thing))
by_id = page_query("things.by_id", _all, [things.c.id], Thing)
newest = page_query("things.newest", _all, [things.c.at, things.c.id], Thing, descending=True)
of_kind = page_query("things.of_kind", _all.where(things.c.kind == param("kind")), [things.c.id], dict)
at_offset = query(
    "things.at_offset",
    _all.where(things.c.kind == param("kind")).order_by(things.c.id).limit(param("count")).offset(param("offset")),
    into=Thing,
)
number_of_kind = query(
    "things.number_of_kind", select(func.count().label("n")).where(things.c.kind == param("kind")), into=int
)

POSITION = (datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), UUID(int=7))


def test_a_cursor_decodes_to_its_position() -> None:
    assert cursors.decode("list", cursors.encode("list", POSITION), tuple[datetime, UUID]) == POSITION


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_every_text_and_number_may_be_a_position(text: str, number: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert cursors.decode("list", cursors.encode("list", (text, number)), tuple[str, int]) == (text, number)


@given(st.text(max_size=60))
def test_a_text_that_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", text, tuple[str, int])


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "-{}", "{}A"])
def test_another_spelling_of_a_cursor_is_refused(change: str) -> None:
    """Seen to fail: padding was accepted, and so were other last bits."""
    cursor = cursors.encode("list", (1,))
    with pytest.raises(InvalidCursor):
        cursors.decode("list", change.format(cursor), tuple[int])


def test_a_cursor_with_other_last_bits_is_refused() -> None:
    cursor = next(cursor for text in ("", "a", "aa") if len(cursor := cursors.encode("list", (text,))) % 4 == 2)
    last = ord(cursor[-1])
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursor[:-1] + chr(last + 1), tuple[str])


def test_a_cursor_of_another_list_or_key_is_refused() -> None:
    cursor = cursors.encode("list", (1,))
    with pytest.raises(InvalidCursor):
        cursors.decode("other", cursor, tuple[int])
    with pytest.raises(InvalidCursor):
        Cursors(b"x" * 32).decode("list", cursor, tuple[int])


def test_a_cursor_with_values_of_other_types_is_refused() -> None:
    """Seen to fail: such a cursor caused a ValidationError of msgspec, a 500."""
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", ("a", 1)), tuple[datetime, UUID])


def test_a_cursor_with_another_number_of_values_is_refused() -> None:
    """Seen to fail: the cursor of a release with other sort columns caused a 500."""
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", ("name",)), tuple[int, UUID])


def test_the_longest_cursor_is_accepted() -> None:
    """Seen to fail: a name of 200 emoji gave a cursor longer than the accepted maximum."""
    assert len(cursors.encode("list", ("\N{ELECTRIC LIGHT BULB}" * 200, UUID(int=7)))) <= MAX_CURSOR_CHARS


@pytest.mark.parametrize(
    "query", [b"cursor=", b"limit=", b"limit=5&cursor=", b"cursor=" + b"a" * (MAX_CURSOR_CHARS + 1)]
)
def test_a_parameter_without_a_value_is_refused(query: bytes) -> None:
    """Breaks when an empty cursor is accepted: the list starts again at the first page."""
    with pytest.raises(Invalid):
        decode_query(query, PageFilter)


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        kinds = ("uuid", "timestamptz") if opened.dialect == "postgresql" else ("blob", "bigint")
        async with opened.transaction() as tx:
            await tx.run_script(f"CREATE TABLE things (id {kinds[0]} PRIMARY KEY, kind text, at {kinds[1]})")
            await tx.run_many(query("things.insert", insert_row(things)), [asdict(thing) for thing in THINGS])
        yield opened


async def read(database: Database, pages: PageQuery[Any], limit: int, **arguments: Any) -> list[list[Any]]:
    """The items of each page, following the cursors."""
    found = []
    filters = PageFilter(limit=limit)
    while True:
        page = await cursors.fetch(database, pages, filters, **arguments)
        found.append(page.items)
        if page.next_cursor is None:
            return found
        filters = PageFilter(limit=limit, cursor=page.next_cursor)


@pytest.mark.parametrize("limit", [1, 5, 6, 12, 13])
async def test_the_pages_of_a_list_have_each_item_once_and_in_order(database: Database, limit: int) -> None:
    """Breaks when the comparison ignores the direction, or a key, or when a full last page has a cursor."""
    pages = await read(database, by_id, limit)
    assert [thing for page in pages for thing in page] == THINGS
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1]
    descending = sorted(THINGS, key=lambda thing: (thing.at, thing.id), reverse=True)
    assert [thing for page in await read(database, newest, limit) for thing in page] == descending
    small = [asdict(thing) for thing in THINGS if thing.kind == "small"]
    assert [thing for page in await read(database, of_kind, limit, kind="small") for thing in page] == small


async def test_a_cursor_belongs_to_the_list_its_order_and_its_arguments(database: Database) -> None:
    """Breaks when the scope of a cursor has only the name of the query."""
    page = await cursors.fetch(database, of_kind, PageFilter(limit=1), kind="small")
    following = PageFilter(limit=1, cursor=page.next_cursor)
    assert (await cursors.fetch(database, of_kind, following, kind="small")).items == [asdict(THINGS[3])]
    with pytest.raises(InvalidCursor):
        await cursors.fetch(database, of_kind, following, kind="big")
    with pytest.raises(InvalidCursor):
        await cursors.fetch(database, by_id, following)
    ascending = page_query("things.newest", _all, [things.c.at, things.c.id], Thing)
    descending = await cursors.fetch(database, newest, PageFilter(limit=1))
    with pytest.raises(InvalidCursor):
        await cursors.fetch(database, ascending, PageFilter(cursor=descending.next_cursor))


async def test_a_converted_page_keeps_its_cursor(database: Database) -> None:
    page = await cursors.fetch(database, by_id, PageFilter(limit=2))
    converted = page.map(lambda thing: thing.kind)
    assert (converted.items, converted.next_cursor) == (["big", "small"], page.next_cursor)


async def test_an_empty_list_is_one_empty_page(database: Database) -> None:
    assert await read(database, of_kind, 2, kind="none") == [[]]


async def test_an_offset_page_says_whether_there_are_more_and_how_many_in_all(database: Database) -> None:
    big = [thing for thing in THINGS if thing.kind == "big"]

    async def fetch(offset: int, **options: Any) -> OffsetPage[Thing]:
        return await fetch_offset_page(database, at_offset, OffsetFilter(limit=2, offset=offset), kind="big", **options)

    assert await fetch(0) == OffsetPage(big[:2], has_more=True, total=None)
    assert await fetch(3, total=number_of_kind) == OffsetPage(big[3:5], has_more=True, total=6)
    assert await fetch(4, total=number_of_kind) == OffsetPage(big[4:], has_more=False, total=6)
    assert await fetch(9, total=number_of_kind) == OffsetPage([], has_more=False, total=6)


@pytest.mark.parametrize("asked", [b"offset=-1", f"offset={MAX_OFFSET + 1}".encode(), b"limit=101", b"offset="])
def test_an_offset_out_of_bounds_is_refused(asked: bytes) -> None:
    with pytest.raises(Invalid):
        decode_query(asked, OffsetFilter)
    assert decode_query(f"offset={MAX_OFFSET}".encode(), OffsetFilter).offset == MAX_OFFSET
