"""The plans of list queries: along an index and without a sort, so that page 1,000 costs the same as page 1."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from restwell.database import Database, PageQuery, Query

COUNT = {"count": 21}


def pages(query: PageQuery[Any], arguments: Mapping[str, Any], keys: Mapping[str, Any], name: str) -> Iterator[Any]:
    """The parameters of a test: the first page, and the page after ``keys``."""
    yield pytest.param(query.first, {**COUNT, **arguments}, id=name)
    position = {key: keys[key] for key in query.after}
    yield pytest.param(query.next, {**COUNT, **arguments, **position}, id=f"{name} after")


async def assert_follows_an_index(database: Database, query: Query[Any], arguments: Mapping[str, Any]) -> str:
    """Return the plan."""
    # Small tables are faster to scan, so sequential scans are disabled for this check.
    plan = await plan_of(database, query, arguments, "enable_seqscan", "enable_bitmapscan")
    assert "index" in plan.lower(), plan
    assert "Sort" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan
    return plan


async def assert_batch_follows_an_index(database: Database, query: Query[Any], arguments: Mapping[str, Any]) -> None:
    """Two pages in one statement of PostgreSQL: each is read along an index, and only the pages are sorted."""
    names = query.group_by or ()
    arrays = {name: [value, value] if name in names else value for name, value in arguments.items()}
    plan = await plan_of(database, query, {**arguments, **arrays}, "enable_seqscan", "enable_bitmapscan", is_batch=True)
    assert "Index Scan" in plan or "Index Only Scan" in plan, plan
    assert plan.startswith(("Sort", "Incremental Sort")), plan
    assert plan.count("Sort  ") == 1, plan


async def plan_of(
    database: Database, query: Query[Any], arguments: Mapping[str, Any], *without: str, is_batch: bool = False
) -> str:
    """The query plan. On PostgreSQL, ``without`` disables plan node types."""
    compiled = (query.batched if is_batch else query.compiled)[database.dialect]
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    async with database.transaction() as tx:
        for way in without if database.dialect == "postgresql" else ():
            await tx.run_script(f"SET LOCAL {way} = off")
        rows = await tx._fetch(compiled._replace(sql=f"{explain} {compiled.sql}"), compiled.bind(arguments))
    return "\n".join(str(row[-1]) for row in rows)
