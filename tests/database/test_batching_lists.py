"""Concurrent pages of a list are read together, by one statement on PostgreSQL, without side effects on each other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select, update

from restwell.database import Database, DatabaseUnavailable, Id, any_of, open_database, page_query, param, query
from restwell.database._batching import MAX_LISTS
from restwell.database._query import Compiled
from restwell.ids import new_id
from restwell.pages import Cursors, Page, PageFilter

# Named as an alias in the statement of a batch might be.
pages = Table(
    "pages", MetaData(), Column("id", Id, primary_key=True), Column("kind", Text), Column("n", Integer, nullable=False)
)
CREATE = {
    "sqlite": "CREATE TABLE pages (id BLOB PRIMARY KEY, kind TEXT, n INTEGER NOT NULL)",
    "postgresql": "CREATE TABLE pages (id uuid PRIMARY KEY, kind text, n integer NOT NULL)",
}
KINDS = "abcdef"


class Row(Struct, frozen=True):
    id: Any
    n: int


_columns = select(pages.c.id, pages.c.n)
_of_kind = pages.c.kind == param("kind")
of_kind = page_query("pages.of_kind", _columns.where(_of_kind), [pages.c.n, pages.c.id], Row, batch_on=["kind"])
newest = page_query(
    "pages.newest", _columns.where(_of_kind), [pages.c.n, pages.c.id], dict, descending=True, batch_on=["kind"]
)
every = page_query("pages.every", _columns, [pages.c.n, pages.c.id], Row, batch_on=[])
add = query("pages.add", insert(pages).values({c.name: param(c.name) for c in pages.columns}))
change = query("pages.change", update(pages).where(pages.c.n == param("old")).values(n=param("new")))
cursors = Cursors(b"k" * 32)


@pytest.fixture
async def opened(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=4) as database:
        async with database.transaction() as tx:
            await tx.run_script(CREATE[database.dialect])
            rows = [{"id": new_id(), "kind": kind, "n": n} for n in range(30) for kind in KINDS[:5]]
            await tx.run_many(add, rows)
        yield database


@pytest.fixture
def statements(opened: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL of every read outside a transaction; on SQLite, of every switch to its thread."""
    ran: list[str] = []
    fetch, fetch_each = opened._fetch, opened._fetch_each

    async def counting(compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        ran.append(compiled.sql)
        return await fetch(compiled, parameters)

    async def counting_each(compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> Any:
        ran.append(compiled.sql)
        return await fetch_each(compiled, parameters)

    monkeypatch.setattr(opened, "_fetch", counting)
    monkeypatch.setattr(opened._batcher, "_fetch", counting)
    monkeypatch.setattr(opened._batcher, "_fetch_each", counting_each)
    return ran


async def read(
    database: Database, kind: Any, limit: int = 4, cursor: str | None = None, of: Any = of_kind
) -> Page[Any]:
    return await cursors.fetch(database, of, PageFilter(limit=limit, cursor=cursor), kind=kind)


async def test_concurrent_pages_are_one_statement_and_each_caller_gets_its_own(
    opened: Database, statements: list[str]
) -> None:
    """Fails if ``all`` does not batch, and if LIMIT holds for the batch and not for each list."""
    firsts = await asyncio.gather(*(read(opened, kind) for kind in KINDS))
    assert [[row.n for row in page.items] for page in firsts] == [[0, 1, 2, 3]] * 5 + [[]]
    assert len({row.id for page in firsts for row in page.items}) == 20
    assert len(statements) == 1
    seconds = await asyncio.gather(*(read(opened, kind, cursor=firsts[0].next_cursor) for kind in "aaa"))
    assert [[row.n for row in page.items] for page in seconds] == [[4, 5, 6, 7]] * 3
    assert len(statements) == 2
    thirds = await asyncio.gather(
        *(read(opened, kind, cursor=page.next_cursor) for kind, page in zip("abc", firsts, strict=False))
    )
    assert [[row.n for row in page.items] for page in thirds] == [[4, 5, 6, 7]] * 3
    assert len({row.id for page in thirds for row in page.items}) == 12
    assert len(statements) == 3


async def test_a_batch_keeps_the_order_of_its_lists(opened: Database) -> None:
    """Fails without the ORDER BY of each list in the statement of the batch."""
    for n in range(5):
        await opened.run(change, old=n, new=100 - n)
    found = await asyncio.gather(*(read(opened, kind, 10, of=newest) for kind in KINDS))
    newest_of_each = [*range(100, 95, -1), *range(29, 24, -1)]
    assert [[row["n"] for row in page.items] for page in found] == [newest_of_each] * 5 + [[]]


async def test_lists_of_other_lengths_are_other_batches(opened: Database, statements: list[str]) -> None:
    found = await asyncio.gather(*(read(opened, kind, limit) for kind in "ab" for limit in (2, 3)))
    assert [len(page.items) for page in found] == [2, 3, 2, 3]
    assert len(statements) == 2


async def test_callers_of_one_list_share_its_rows_and_not_the_list(opened: Database, statements: list[str]) -> None:
    """Fails if callers get the same list: ``Cursors.fetch`` removes the extra row from it."""
    found = await asyncio.gather(*(read(opened, "a") for _ in range(3)))
    assert [len(page.items) for page in found] == [4] * 3
    assert all(page.next_cursor is not None for page in found)
    assert len(statements) == 1


async def test_a_list_without_arguments_is_read_once_for_all_callers(opened: Database, statements: list[str]) -> None:
    found = await asyncio.gather(*(opened.all(every.first, count=2) for _ in range(3)))
    assert [[row.n for row in rows] for rows in found] == [[0, 0]] * 3
    assert len(statements) == 1


async def test_a_single_list_runs_the_plain_statement(opened: Database, statements: list[str]) -> None:
    assert len((await read(opened, "a")).items) == 4
    assert statements == [of_kind.first.compiled[opened.dialect].sql]


async def test_a_list_that_fails_is_an_error_for_its_caller_only(opened: Database) -> None:
    """Fails if the lists of a failed batch are not read again, each alone."""
    found = await asyncio.gather(*(read(opened, kind) for kind in ("a", object(), "b")), return_exceptions=True)
    assert [len(page.items) if isinstance(page, Page) else None for page in found] == [4, None, 4]
    assert isinstance(found[1], Exception)


async def test_a_cancelled_caller_does_not_cancel_the_others(opened: Database) -> None:
    """Fails if callers share a future, or if the batch belongs to the task of one caller."""
    calls = [asyncio.create_task(read(opened, kind)) for kind in "aab"]
    await asyncio.sleep(0)
    calls[0].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [len(page.items) for page in found[1:] if isinstance(page, Page)] == [4, 4]


async def test_every_caller_of_a_batch_gets_the_error_of_a_closed_database(opened: Database) -> None:
    await opened.close()
    found = await asyncio.gather(*(read(opened, kind) for kind in "abc"), return_exceptions=True)
    assert [type(error) for error in found] == [DatabaseUnavailable] * 3


@pytest.mark.parametrize("ambient", [False, True])
async def test_a_batch_does_not_span_transactions(opened: Database, *, ambient: bool) -> None:
    """Fails if lists of a transaction join a batch: other callers then see uncommitted rows, and it does not."""

    async def outside() -> list[int]:
        await begun.wait()
        return [row.n for row in (await read(opened, "a")).items]

    begun = asyncio.Event()
    other_caller = asyncio.create_task(outside())
    async with opened.transaction(ambient=ambient) as tx:
        await tx.run(change, old=0, new=-1)
        begun.set()
        executor: Any = opened if ambient else tx
        inside = [row.n for row in (await cursors.fetch(executor, of_kind, PageFilter(limit=4), kind="a")).items]
        assert await other_caller == [0, 1, 2, 3]
    assert inside == [-1, 1, 2, 3]


async def test_a_list_after_a_write_sees_it_during_concurrent_reads(opened: Database) -> None:
    """Fails if a list joins a batch that has already started."""
    stale = 0

    async def read_repeatedly(kind: str) -> None:
        for _ in range(40):
            await read(opened, kind)

    async def write_and_read() -> None:
        nonlocal stale
        for number in range(20):
            await opened.run(change, old=-number, new=-number - 1)
            stale += (await read(opened, "a")).items[0].n != -number - 1

    await asyncio.gather(write_and_read(), *(read_repeatedly(kind) for kind in "aabbcd"))
    assert stale == 0


async def test_a_statement_reads_a_limited_number_of_lists(opened: Database, statements: list[str]) -> None:
    """Fails without MAX_LISTS: one statement then reads the lists of all callers, however many."""
    kinds = [f"none {number}" for number in range(MAX_LISTS)]
    found = await asyncio.gather(*(read(opened, kind) for kind in ("a", *kinds)))
    assert [len(page.items) for page in found] == [4] + [0] * MAX_LISTS
    assert len(statements) == 2


async def test_a_missing_or_unknown_argument_is_named(opened: Database) -> None:
    with pytest.raises(TypeError, match="needs the argument 'kind'"):
        await opened.all(of_kind.first, count=2)
    with pytest.raises(TypeError, match="has no argument colour"):
        await opened.all(of_kind.first, count=2, kind="a", colour="red")


def test_a_list_that_cannot_be_batched_is_refused_at_import() -> None:
    def declare(statement: Any, *batch_on: str) -> None:
        page_query("pages.refused", statement, [pages.c.n, pages.c.id], Row, batch_on=batch_on)

    with pytest.raises(TypeError, match=r"pages\.refused cannot be batched on nothing: its arguments are kind"):
        declare(_columns.where(_of_kind))
    with pytest.raises(TypeError, match="cannot be batched on kind: its arguments are nothing"):
        declare(_columns, "kind")
    with pytest.raises(TypeError, match="cannot be batched on kinds: compare it with a column"):
        declare(_columns.where(any_of(pages.c.kind, "kinds")), "kinds")
    with pytest.raises(TypeError, match="cannot be batched on kind: compare it with a column"):
        declare(_columns.where(pages.c.kind == func.lower(param("kind"))), "kind")
