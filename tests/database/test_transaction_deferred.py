"""Deferred writes, which are sent in a batch."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, delete, insert, select, update

from restwell.database import Database, UniqueViolation, open_database, param, query
from restwell.database._transaction import MAX_BATCH
from restwell.observability._trace import Trace, current, new_ids

metadata = MetaData()
shelves = Table("shelves", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
books = Table("books", metadata, Column("id", Integer, primary_key=True), Column("shelf", ForeignKey(shelves.c.id)))

add_shelf = query("shelves.add", insert(shelves).values(id=param("id"), name=param("name")))
name_shelf = query("shelves.name", update(shelves).where(shelves.c.id == param("match_id")).values(name=param("name")))
remove_shelf = query("shelves.remove", delete(shelves).where(shelves.c.id == param("id")))
add_book = query("books.add", insert(books).values(id=param("id"), shelf=param("shelf")))
names = query("shelves.names", select(shelves.c.name).order_by(shelves.c.id).limit(100), into=str)
book_ids = query("books.ids", select(books.c.id).order_by(books.c.id).limit(100), into=int)


def counted() -> dict[str, int]:
    """How often each query of this test has run."""
    counts: dict[str, int] = {}
    current.set((Trace(*new_ids()), "", counts))
    return counts


@pytest.fixture
async def opened(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=2) as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE shelves (id integer PRIMARY KEY, name text)")
            await tx.run_script("CREATE TABLE books (id integer PRIMARY KEY, shelf integer REFERENCES shelves)")
        yield database


async def test_deferred_writes_are_sent_with_the_commit_in_one_round_trip(opened: Database) -> None:
    """Breaks when the commit drops deferred writes, and when each write is a separate round trip."""
    counts = counted()
    async with opened.transaction() as tx:
        tx.defer(add_shelf, id=1, name="a'$1'")
        tx.defer(add_book, id=7, shelf=1)
        tx.defer(add_book, id=8, shelf=1)
    assert counts == {"shelves.add+books.add": 1}
    assert (await opened.all(names), await opened.all(book_ids)) == (["a'$1'"], [7, 8])


async def test_the_next_statement_sees_a_deferred_write(opened: Database) -> None:
    """Breaks, for each kind of statement, when it does not flush the deferred writes first."""
    async with opened.transaction() as tx:
        tx.defer(add_shelf, id=1, name="a")
        assert await tx.all(names) == ["a"]
        tx.defer(add_shelf, id=2, name="b")
        assert await tx.run(name_shelf, match_id=2, name="c") == 1
        tx.defer(add_shelf, id=3, name="d")
        await tx.run_many(name_shelf, [{"match_id": 3, "name": "e"}])
        tx.defer(add_shelf, id=4, name="f")
        await tx.run_script("UPDATE shelves SET name = 'g' WHERE id = 4")
        tx.defer(remove_shelf, id=1)
    assert await opened.all(names) == ["c", "e", "g"]


async def test_a_rollback_discards_deferred_writes(opened: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened.transaction() as tx:
            tx.defer(add_shelf, id=1, name="a")
            raise ZeroDivisionError
    assert await opened.all(names) == []


async def test_the_error_of_a_deferred_write_is_raised_by_the_next_statement_or_the_commit(opened: Database) -> None:
    """Breaks when COMMIT is sent after a failed statement."""
    await opened.run(add_shelf, id=1, name="a")
    with pytest.raises(UniqueViolation):
        async with opened.transaction() as tx:
            tx.defer(add_book, id=7, shelf=1)
            tx.defer(add_shelf, id=1, name="b")
    with pytest.raises(UniqueViolation):
        async with opened.transaction() as tx:
            tx.defer(add_shelf, id=1, name="b")
            await tx.all(names)
            pytest.fail("it was read as if nothing had happened")
    assert (await opened.all(names), await opened.all(book_ids)) == (["a"], [])


async def test_a_transaction_that_suppresses_the_error_of_a_deferred_write_saves_nothing(opened: Database) -> None:
    """Breaks on SQLite when the block commits the writes before the failed statement and drops the writes after it."""
    await opened.run(add_shelf, id=1, name="a")
    with pytest.raises(RuntimeError, match="nothing was saved"):
        async with opened.transaction() as tx:
            tx.defer(add_shelf, id=2, name="b")
            tx.defer(add_shelf, id=1, name="c")
            tx.defer(add_book, id=7, shelf=1)
            with suppress(UniqueViolation):
                await tx.all(names)
    assert (await opened.all(names), await opened.all(book_ids)) == (["a"], [])


async def test_more_deferred_writes_than_one_batch_are_sent_query_by_query(opened: Database) -> None:
    """The writes are sent in the order in which they were deferred: a book references its shelf."""
    counts = counted()
    async with opened.transaction() as tx:
        for number in range(MAX_BATCH):
            tx.defer(add_shelf, id=number, name=str(number))
        tx.defer(add_book, id=7, shelf=1)
        tx.defer(name_shelf, match_id=0, name="first")
    assert counts == {"shelves.add": 1, "books.add": 1, "shelves.name": 1}
    assert await opened.all(names) == ["first", *map(str, range(1, MAX_BATCH))]


async def test_only_writes_can_be_deferred(opened: Database) -> None:
    async with opened.transaction() as tx:
        with pytest.raises(TypeError, match=r"shelves\.names cannot be deferred"):
            tx.defer(names)
