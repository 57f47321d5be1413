"""Pages of cached rows, on both databases. They are compared with what ``Cursors.fetch`` reads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Column, Integer, MetaData, Table, Text, delete, select, update

from restwell import _api_version
from restwell._api_version import ApiVersion
from restwell.cache import Cache, CachedPages
from restwell.cache._local import LocalStore
from restwell.database import Database, Id, columns_of, insert_row, open_database, page_query, param, query
from restwell.pages import Cursors, Page, PageFilter

things = Table(
    "things",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("text", Text, nullable=False),
)


class Thing(Struct, frozen=True):
    id: UUID
    kind: str
    place: int
    text: str


THINGS = [Thing(UUID(int=number), "odd" if number % 2 else "even", number // 3, "old") for number in range(20)]
_of_kind = things.c.kind == param("kind")
_columns = columns_of(things, Thing)
of_kind = page_query(
    "things.of_kind", select(*_columns).where(_of_kind), [things.c.place, things.c.id], Thing, batch_on=["kind"]
)
places = page_query(
    "things.places", select(things.c.place, things.c.id).where(_of_kind), [things.c.place, things.c.id], dict
)
by_id = query("things.by_id", select(*_columns).where(things.c.id == param("id")), into=Thing, batch_on="id")
set_text = query("things.set_text", update(things).where(things.c.id == param("match_id")).values(text=param("text")))
set_place = query(
    "things.set_place", update(things).where(things.c.id == param("match_id")).values(place=param("place"))
)
remove = query("things.remove", delete(things).where(things.c.id == param("match_id")))

cursors = Cursors(b"k" * 32)


def tag(thing_id: UUID) -> str:
    return f"thing:{thing_id}"


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        kind = "uuid" if opened.dialect == "postgresql" else "blob"
        async with opened.transaction() as tx:
            await tx.run_script(f"CREATE TABLE things (id {kind} PRIMARY KEY, kind text, place integer, text text)")
            await tx.run_many(query("things.insert", insert_row(things)), [asdict(thing) for thing in THINGS])
        yield opened


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Cache]:
    cache = Cache(LocalStore(tmp_path / "cache", 1_000_000), max_bytes=1_000_000)
    await cache.start()
    yield cache
    await cache.close()


def cached_pages(database: Database, cache: Cache) -> CachedPages[Thing]:
    return CachedPages(database, cache, cursors, by_id, tag=tag, ttl_seconds=60)


def loads(cache: Cache) -> tuple[int, int]:
    """How often the ids of a list were read, and how many rows."""
    return cache.metrics.stats["things.of_kind_ids"].loads, cache.metrics.stats["thing"].loads


async def test_the_pages_and_cursors_are_those_of_the_query(database: Database, cache: Cache) -> None:
    """Fails if the ids have another order or other cursors."""
    cached = cached_pages(database, cache)
    for pages in (of_kind, places):
        for kind in ("odd", "none"):
            cursor: str | None = None
            while True:
                filters = PageFilter(limit=3, cursor=cursor)
                expected: Page[Any] = await cursors.fetch(database, pages, filters, kind=kind)
                for _ in range(2):
                    assert await cached.fetch(pages, filters, ["things"], kind=kind) == expected
                if expected.next_cursor is None:
                    break
                cursor = expected.next_cursor


async def test_a_write_to_a_row_reads_that_row_again_and_no_list(database: Database, cache: Cache) -> None:
    cached = cached_pages(database, cache)
    before = await cached.fetch(of_kind, PageFilter(limit=5), ["things"], kind="odd")
    assert loads(cache) == (1, 5)
    async with database.transaction() as tx:
        await tx.run(set_text, match_id=before.items[2].id, text="new")
        cache.invalidate(tx, tag(before.items[2].id))
    after = await cached.fetch(of_kind, PageFilter(limit=5), ["things"], kind="odd")
    assert [thing.text for thing in after.items] == ["old", "old", "new", "old", "old"]
    assert loads(cache) == (1, 6)


async def test_a_write_to_the_order_reads_the_ids_again_and_no_unchanged_row(database: Database, cache: Cache) -> None:
    """Fails if the ids are cached without the tags of the list."""
    cached = cached_pages(database, cache)
    before = await cached.fetch(of_kind, PageFilter(limit=100), ["things"], kind="odd")
    first = before.items[0]
    async with database.transaction() as tx:
        await tx.run(set_place, match_id=first.id, place=99)
        cache.invalidate(tx, tag(first.id), "things")
    after = await cached.fetch(of_kind, PageFilter(limit=100), ["things"], kind="odd")
    assert [thing.id for thing in after.items] == [thing.id for thing in [*before.items[1:], first]]
    assert after.items[-1].place == 99
    assert loads(cache) == (2, 11)


async def test_a_row_that_is_deleted_after_its_id_was_read_is_left_out(database: Database, cache: Cache) -> None:
    """Fails if it is None in the page, which clients could not read."""
    cached = cached_pages(database, cache)
    before = await cached.fetch(of_kind, PageFilter(limit=5), ["things"], kind="odd")
    async with database.transaction() as tx:
        await tx.run(remove, match_id=before.items[0].id)
        cache.invalidate(tx, tag(before.items[0].id))  # not yet the tag of the list
    after = await cached.fetch(of_kind, PageFilter(limit=5), ["things"], kind="odd")
    assert after == Page(before.items[1:], before.next_cursor)


async def test_without_a_cache_a_page_is_one_query(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the ids are read first: twice the queries for nothing."""
    cache = Cache(LocalStore(tmp_path / "off", 1_000_000), max_bytes=1_000_000, enabled=False)
    cached = cached_pages(database, cache)
    expected = await cursors.fetch(database, of_kind, PageFilter(limit=5), kind="odd")
    read: list[object] = []
    fetch = cursors.fetch

    async def counting(executor: Any, pages: Any, *arguments: Any, **more: Any) -> Any:
        read.append(pages)
        return await fetch(executor, pages, *arguments, **more)

    monkeypatch.setattr(cursors, "fetch", counting)
    assert await cached.fetch(of_kind, PageFilter(limit=5), ["things"], kind="odd") == expected
    assert read == [of_kind]


async def test_a_cached_cursor_belongs_to_one_version_of_the_api(database: Database, cache: Cache) -> None:
    """Fails if versions share the ids of a page: the cursor of one is not valid in the other."""
    cached = cached_pages(database, cache)
    for prefix in ("/v1", "/v2"):
        token = _api_version.current.set(ApiVersion.of(prefix, lambda result: result))
        page = await cached.fetch(of_kind, PageFilter(limit=1), ["things"], kind="odd")
        following = PageFilter(limit=1, cursor=page.next_cursor)
        assert (await cursors.fetch(database, of_kind, following, kind="odd")).items
        _api_version.current.reset(token)


async def test_a_row_without_batch_on_is_refused(database: Database, cache: Cache) -> None:
    alone = query("things.alone", select(*_columns).where(things.c.id == param("id")), into=Thing)
    with pytest.raises(TypeError, match=r"query things\.alone reads one row: declare its id with batch_on="):
        CachedPages(database, cache, cursors, alone, tag=tag, ttl_seconds=60)
