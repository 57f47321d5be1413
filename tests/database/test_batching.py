"""Concurrent point reads become one statement, without side effects on each other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, update

from restwell.database import (
    Database,
    DatabaseUnavailable,
    Id,
    Query,
    RowNotFound,
    open_database,
    param,
    query,
)
from restwell.database._query import Compiled
from restwell.ids import new_id

things = Table("things", MetaData(), Column("id", Id, primary_key=True), Column("name", Text), Column("n", Integer))
CREATE = {
    "sqlite": "CREATE TABLE things (id BLOB PRIMARY KEY, name TEXT, n INTEGER)",
    "postgresql": "CREATE TABLE things (id uuid PRIMARY KEY, name text, n integer)",
}
IDS = [new_id() for _ in range(20)]


class Thing(Struct, frozen=True):
    name: str
    n: int


by_id: Query[Thing] = query(
    "things.by_id", select(things.c.name, things.c.n).where(things.c.id == param("id")), into=Thing, batch_on="id"
)
small_by_id = query(
    "things.small_by_id",
    select(things.c.name, things.c.n).where(things.c.n < 5, things.c.id == param("id")),
    into=Thing,
    batch_on="id",
)
add = query("things.add", insert(things).values({c.name: param(c.name) for c in things.columns}))
rename = query("things.rename", update(things).where(things.c.id == param("match_id")).values(name=param("name")))


@pytest.fixture
async def opened(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=4) as database:
        async with database.transaction() as tx:
            await tx.run_script(CREATE[database.dialect])
            await tx.run_many(add, [{"id": key, "name": f"thing {n}", "n": n} for n, key in enumerate(IDS)])
        yield database


@pytest.fixture
def statements(opened: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL of every batch that reached the driver."""
    ran: list[str] = []
    fetch = opened._fetch

    async def counting(compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        ran.append(compiled.sql)
        return await fetch(compiled, parameters)

    monkeypatch.setattr(opened._batcher, "_fetch", counting)
    return ran


async def find(database: Database, key: object, by: Query[Thing] = by_id) -> Thing | None:
    return await database.find(by, id=key)


async def test_concurrent_reads_are_one_statement_and_each_gets_its_row(
    opened: Database, statements: list[str]
) -> None:
    """Breaks when ``find`` does not batch: each caller then executes a statement."""
    keys = IDS + IDS[:5] + [new_id()]
    rows = await asyncio.gather(*(find(opened, key) for key in keys))
    assert [row.n if row else None for row in rows] == [*range(20), *range(5), None]
    assert len(statements) == 1


async def test_a_single_read_runs_the_plain_statement(opened: Database, statements: list[str]) -> None:
    assert await opened.one(by_id, id=IDS[3]) == Thing("thing 3", 3)
    assert await opened.find(by_id, id=new_id()) is None
    assert statements == [by_id.compiled[opened.dialect].sql] * 2


async def test_a_batch_keeps_the_other_conditions_of_its_query(opened: Database, statements: list[str]) -> None:
    rows = await asyncio.gather(*(find(opened, key, small_by_id) for key in IDS[:8]))
    assert [row is not None for row in rows] == [True] * 5 + [False] * 3
    assert len(statements) == 1


async def test_different_queries_run_in_different_batches(opened: Database, statements: list[str]) -> None:
    await asyncio.gather(find(opened, IDS[0]), find(opened, IDS[0], small_by_id))
    assert len(statements) == 2


async def test_a_missing_row_is_an_error_for_its_caller_only(opened: Database) -> None:
    found = await asyncio.gather(opened.one(by_id, id=IDS[1]), opened.one(by_id, id=new_id()), return_exceptions=True)
    assert found[0] == Thing("thing 1", 1)
    assert isinstance(found[1], RowNotFound)


async def test_an_invalid_key_is_an_error_for_its_caller_only(opened: Database) -> None:
    """Breaks when a failed batch fails all of its callers."""
    found = await asyncio.gather(*(find(opened, key) for key in (IDS[1], "no id", IDS[2])), return_exceptions=True)
    assert found[0] == Thing("thing 1", 1)
    assert isinstance(found[1], Exception)
    assert found[2] == Thing("thing 2", 2)
    with pytest.raises(Exception, match=r"no id|bytes"):
        await opened.find(by_id, id="no id")


async def test_a_cancelled_caller_does_not_cancel_the_others(opened: Database) -> None:
    """Breaks when callers of one key share a future: cancelling one then cancels the others."""
    calls = [asyncio.create_task(opened.one(by_id, id=IDS[4])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [Thing("thing 4", 4)] * 2


async def test_a_batch_without_callers_is_not_run(opened: Database, statements: list[str]) -> None:
    calls = [asyncio.create_task(opened.one(by_id, id=key)) for key in IDS[:3]]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await opened.one(by_id, id=IDS[0])
    assert len(statements) == 1


async def test_every_caller_of_a_batch_gets_the_error_of_a_closed_database(opened: Database) -> None:
    await opened.close()
    found = await asyncio.gather(*(find(opened, key) for key in IDS[:3]), return_exceptions=True)
    assert [type(error) for error in found] == [DatabaseUnavailable] * 3


async def test_a_batch_does_not_span_transactions(opened: Database) -> None:
    """Breaks when reads of a transaction join a batch: other callers then see uncommitted rows."""
    async with opened.transaction() as tx:
        await tx.run(rename, match_id=IDS[0], name="renamed")
        inside, outside = await asyncio.gather(tx.one(by_id, id=IDS[0]), opened.one(by_id, id=IDS[0]))
        assert (inside.name, outside.name) == ("renamed", "thing 0")


async def test_a_read_after_a_write_sees_it_during_concurrent_reads(opened: Database) -> None:
    """Breaks when a read joins a batch that has already started."""
    stale = 0

    async def read_repeatedly() -> None:
        for _ in range(40):
            await opened.find(by_id, id=IDS[0])

    async def write_and_read() -> None:
        nonlocal stale
        for number in range(20):
            await opened.run(rename, match_id=IDS[0], name=str(number))
            stale += (await opened.one(by_id, id=IDS[0])).name != str(number)

    await asyncio.gather(write_and_read(), *(read_repeatedly() for _ in range(8)))
    assert stale == 0


async def test_a_missing_or_unknown_argument_is_named(opened: Database) -> None:
    with pytest.raises(TypeError, match="needs the argument 'id'"):
        await opened.find(by_id)
    with pytest.raises(TypeError, match="has no argument colour"):
        await opened.find(by_id, id=IDS[0], colour="red")


def test_a_query_that_cannot_be_batched_is_refused_at_import() -> None:
    two = select(things.c.name, things.c.n).where(things.c.id == param("id"), things.c.n == param("n"))
    with pytest.raises(TypeError, match="must be its only argument"):
        query("things.two", two, into=Thing, batch_on="id")
    with pytest.raises(TypeError, match="must be its only argument"):
        query("things.none", select(things.c.name, things.c.n), into=Thing, batch_on="id")
    with pytest.raises(TypeError, match="not a SELECT"):
        query("things.change", update(things).values(n=param("n")).returning(things.c.n), into=int, batch_on="n")
