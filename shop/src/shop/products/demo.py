"""Writes the demo catalogue of a development database."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import func, select

from restwell.database import Database, insert_row, query
from shop.products.models import products

_count: Final = query("demo.count", select(func.count().label("n")).select_from(products), into=int)
_insert_product: Final = query("demo.insert_product", insert_row(products))


async def insert_products(database: Database, rows: Iterable[Mapping[str, Any]]) -> int:
    """Insert the products if there are none. Returns how many there are."""
    async with database.transaction() as tx:
        if present := await tx.one(_count):
            return present
        new = [dict(row) for row in rows]
        await tx.run_many(_insert_product, new)
        return len(new)
