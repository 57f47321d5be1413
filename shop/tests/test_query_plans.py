"""Every list query uses an index and no sort: page 1,000 costs the same as page 1."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from restwell.accounts._audit import queries as audit
from restwell.accounts._clients import queries as clients
from restwell.accounts._sessions import queries as sessions
from restwell.accounts._users import queries as users
from restwell.database import Database, PageQuery, Query
from restwell.ids import new_id
from shop.orders import queries as orders
from shop.products.queries import ListShape, page, search_text
from shop.products.schemas import ProductSort

ID = new_id()
KEYS = {
    "after_created_at": datetime(2026, 2, 1, tzinfo=UTC),
    "after_price_cents": 5_000,
    "after_name": "Lamp",
    "after_id": ID,
}
COUNT = {"count": 21}


def lists() -> Iterator[Any]:
    for sort, category in product(ProductSort, (False, True)):
        shape = ListShape(sort, category=category, q=False, min_price=False, max_price=False, fields=None)
        arguments: dict[str, Any] = {"category": "audio"} if category else {}
        yield from pages(page(shape), arguments, f"products by {sort.value}{' of a category' * category}")
    for each, arguments in (
        (users.page, {}),
        (orders.page, {}),
        (orders.page_of_user, {"user_id": ID}),
        (audit.page, {}),
        (audit.page_of_user, {"user_id": ID}),
        (clients.page, {}),
    ):
        yield from pages(each, arguments, each.name)
    of_user = {"user_id": ID, "now": KEYS["after_created_at"], "idle_since": KEYS["after_created_at"]}
    yield pytest.param(sessions.of_user, of_user, id=sessions.of_user.name)


def pages(query: PageQuery[Any], arguments: dict[str, Any], name: str) -> Iterator[Any]:
    yield pytest.param(query.first, {**COUNT, **arguments}, id=name)
    position = {key: KEYS[key] for key in query.after}
    yield pytest.param(query.next, {**COUNT, **arguments, **position}, id=f"{name} after")


@pytest.mark.parametrize(("query", "arguments"), list(lists()))
async def test_every_page_of_a_list_is_read_along_an_index(
    database: Database, query: Query[Any], arguments: dict[str, Any]
) -> None:
    """Fails if an index of products is dropped: SQLite sorts in a temporary b-tree, PostgreSQL in a Sort node."""
    # Small tables are faster to scan, so sequential scans are disabled for this check.
    plan = await plan_of(database, query, arguments, "enable_seqscan", "enable_bitmapscan")
    assert "index" in plan.lower(), plan
    assert "Sort" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan


async def test_a_search_uses_the_search_index(database: Database) -> None:
    shape = ListShape(ProductSort.NEWEST, category=False, q=True, min_price=False, max_price=False, fields=None)
    text = search_text(database.dialect, "wireless")
    plan = await plan_of(database, page(shape).first, {**COUNT, "q": text}, "enable_seqscan", "enable_indexscan")
    assert "products_by_search" in plan or "VIRTUAL TABLE INDEX" in plan, plan


async def plan_of(database: Database, query: Query[Any], arguments: dict[str, Any], *without: str) -> str:
    """The query plan. On PostgreSQL, ``without`` disables plan node types."""
    compiled = query.compiled[database.dialect]
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    async with database.transaction() as tx:
        for way in without if database.dialect == "postgresql" else ():
            await tx.run_script(f"SET LOCAL {way} = off")
        rows = await tx._fetch(compiled._replace(sql=f"{explain} {compiled.sql}"), compiled.bind(arguments))
    return "\n".join(str(row[-1]) for row in rows)
