"""Every list query uses an index and no sort: page 1,000 costs the same as page 1."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from query_plans import COUNT, assert_batch_follows_an_index, assert_follows_an_index, pages, plan_of
from restwell.database import Database, Query
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


def lists() -> Iterator[Any]:
    for sort, category in product(ProductSort, (False, True)):
        shape = ListShape(sort, category=category, q=False, min_price=False, max_price=False, fields=None)
        arguments: dict[str, Any] = {"category": "audio"} if category else {}
        for each in (page(shape), page(shape).ids):
            yield from pages(each, arguments, KEYS, f"{each.name} by {sort.value}{' of a category' * category}")
    for each, arguments in (
        (orders.page, {}),
        (orders.page_of_user, {"user_id": ID}),
    ):
        yield from pages(each, arguments, KEYS, each.name)


@pytest.mark.parametrize(("query", "arguments"), list(lists()))
async def test_every_page_of_a_list_is_read_along_an_index(
    database: Database, query: Query[Any], arguments: dict[str, Any]
) -> None:
    """Fails if an index of products is dropped: SQLite sorts in a temporary b-tree, PostgreSQL in a Sort node."""
    await assert_follows_an_index(database, query, arguments)


@pytest.mark.parametrize(("query", "arguments"), list(lists()))
async def test_every_page_of_a_batch_is_read_along_an_index(
    database: Database, query: Query[Any], arguments: dict[str, Any]
) -> None:
    """Fails if an index of products is dropped: a Sort node then sorts each page."""
    if database.dialect in query.batched:
        await assert_batch_follows_an_index(database, query, arguments)


async def test_a_search_uses_the_search_index(database: Database) -> None:
    shape = ListShape(ProductSort.NEWEST, category=False, q=True, min_price=False, max_price=False, fields=None)
    text = search_text(database.dialect, "wireless")
    plan = await plan_of(database, page(shape).first, {**COUNT, "q": text}, "enable_seqscan", "enable_indexscan")
    assert "products_by_search" in plan or "VIRTUAL TABLE INDEX" in plan, plan
