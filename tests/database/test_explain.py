"""``explain`` reports queries that do not scale, on both databases, and no others."""

from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)

from restwell.database import (
    Database,
    Id,
    Query,
    Timestamp,
    any_of,
    explain_queries,
    find_queries,
    open_database,
    page_query,
    param,
    query,
)
from restwell.database._explain import unindexed_foreign_keys

ROWS = 20_000
big = Table(
    "big",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("parent", Integer),
    Column("name", Text),
    Column("token", Id),
    Column("at", Timestamp),
    Column("data", LargeBinary),
    Column("ratio", Float),
    Column("done", Boolean),
)
COLUMNS = {
    "sqlite": "name TEXT, token BLOB, at BIGINT, data BLOB, ratio REAL, done BOOLEAN",
    "postgresql": "name text, token uuid, at timestamptz, data bytea, ratio double precision, done boolean",
}
NUMBERS = {
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i, 'name ' || i FROM n"
    ),
    "postgresql": "SELECT i, 'name ' || i FROM generate_series(1, 20000) i",
}

by_id = query("big.by_id", select(big.c.name).where(big.c.id == param("id")), into=str, batch_on="id")
page = query("big.page", select(big.c.id).order_by(big.c.id).limit(param("count")), into=int)
by_name = query("big.by_name", select(big.c.id).where(big.c.name == param("name")).limit(1), into=int)
rename = query("big.rename", update(big).where(big.c.name == param("old")).values(name=param("new")))
everything = query("big.everything", select(big.c.id).order_by(big.c.id), into=int)
count = query("big.count", select(func.count().label("n")).select_from(big), into=int)
every_type = query(
    "big.every_type",
    select(big.c.id)
    .where(
        any_of(big.c.id, "ids"),
        big.c.token == param("token"),
        big.c.at < param("at"),
        big.c.data == param("data"),
        big.c.ratio > param("ratio"),
        big.c.done == param("done"),
    )
    .limit(1),
    into=int,
)
ordered_page = query("big.ordered_page", select(big.c.at).order_by(big.c.at).limit(param("count")), into=int)
in_order = query("big.in_order", select(big.c.at).order_by(big.c.at), into=int)
other = big.alias("other")
of_alias = query("big.of_alias", select(other.c.id).where(other.c.name == param("name")).limit(1), into=int)
joined = query(
    "big.joined",
    select(big.c.id).join(other, other.c.ratio == big.c.ratio).where(big.c.id == param("id")).limit(1),
    into=int,
)
parents = Table("parents", big.metadata, Column("id", Integer, primary_key=True))
without_index = query(
    "big.without_index",
    select(big.c.id).select_from(parents.outerjoin(big, big.c.ratio == parents.c.id)).limit(param("count")),
    into=int,
)
add = query("big.add", insert(big).values(id=param("id"), name=param("name")))


@pytest.fixture
async def opened(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=1) as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE parents (id integer PRIMARY KEY)")
            parent = "parent integer REFERENCES parents (id)"
            await tx.run_script(f"CREATE TABLE big (id integer PRIMARY KEY, {parent}, {COLUMNS[database.dialect]})")
            await tx.run_script(f"INSERT INTO big (id, name) {NUMBERS[database.dialect]}")
            await tx.run_script("ANALYZE")
        yield database


async def findings(database: Database, one: Query[Any]) -> str:
    return " ".join(finding for plan in await explain_queries(database, [one]) for finding in plan.findings)


@pytest.mark.parametrize("one", [by_id, page, every_type, add], ids=lambda one: one.name)
async def test_explain_reports_nothing_for_a_query_that_scales(opened: Database, one: Query[Any]) -> None:
    plans = await explain_queries(opened, [one])
    assert [plan.findings for plan in plans] == [()] * len(plans)
    assert len(plans) == 1 + bool(one.batched)


@pytest.mark.parametrize("one", [by_name, rename, count], ids=lambda one: one.name)
async def test_explain_finds_a_full_scan_of_a_large_table(opened: Database, one: Query[Any]) -> None:
    assert await findings(opened, one) == "scans all of big, more than 10,000 rows: add an index"


@pytest.mark.parametrize("one", [in_order, of_alias, joined, without_index], ids=lambda one: one.name)
async def test_explain_finds_a_full_scan_along_an_index_or_under_an_alias(opened: Database, one: Query[Any]) -> None:
    """Regression: some full scans were not reported.

    They were full index scans, and on SQLite scans of an alias or of a join's inner table, and automatic indexes.
    """
    async with opened.transaction() as tx:
        await tx.run_script("CREATE INDEX big_by_at ON big (at, parent)")
        await tx.run_script("ANALYZE big")
    assert "scans all of big, more than 10,000 rows: add an index" in await findings(opened, one)


@pytest.mark.parametrize("one", [ordered_page], ids=lambda one: one.name)
async def test_explain_accepts_an_index_scan_with_a_limit(opened: Database, one: Query[Any]) -> None:
    async with opened.transaction() as tx:
        await tx.run_script("CREATE INDEX big_by_at ON big (at)")
        await tx.run_script("ANALYZE big")
    assert await findings(opened, one) == ""


async def test_explain_finds_a_result_without_a_limit(opened: Database) -> None:
    assert "without a limit" in await findings(opened, everything)


async def test_explain_accepts_a_full_scan_of_a_small_table(opened: Database) -> None:
    async with opened.transaction() as tx:
        await tx.run_script("DELETE FROM big WHERE id > 50")
        await tx.run_script("ANALYZE big")
    assert await findings(opened, by_name) == ""


async def test_explain_changes_no_row(opened: Database) -> None:
    await explain_queries(opened, [rename, add])
    assert await opened.one(count) == ROWS


async def test_explain_finds_a_foreign_key_without_an_index(opened: Database) -> None:
    (found,) = await unindexed_foreign_keys(opened)
    assert found.startswith("big.")
    async with opened.transaction() as tx:
        await tx.run_script("CREATE INDEX big_by_parent ON big (parent, id)")
    assert await unindexed_foreign_keys(opened) == []


def test_the_queries_of_modules_page_queries_and_functions_are_found() -> None:
    """Breaks when a page query is one query: the plan of its second page is then not read."""
    module = ModuleType("queries")
    one = query("big.one", select(big.c.id).where(big.c.id == param("id")), into=int)
    pages = page_query("big.page", select(big.c.id), [big.c.id], dict)
    vars(module).update(one=one, pages=pages, other=big)
    assert list(find_queries(module)) == [one, pages.first, pages.next]
    assert list(find_queries(one, lambda: [pages, one])) == [one, pages.first, pages.next, one]
