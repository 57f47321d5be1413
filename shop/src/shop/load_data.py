"""Generates any number of products and orders in SQL, to measure query plans and latency on large tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from restwell.database import Database, query
from shop.orders.models import orders

BATCH: Final = 50_000
MAX_PRODUCTS: Final = 1_000_000
CUSTOMERS: Final = 100_000
"""Number of customers that own the orders. Every thousandth order belongs to the first demo customer."""

_count: Final = query("large.count", select(func.count().label("n")).select_from(orders), into=int)


async def load(database: Database, rows: int, advance: Callable[[int], Any]) -> str:
    """Insert orders of one item each until the table has ``rows`` rows, and one product per order up to MAX_PRODUCTS.

    Each batch is one transaction; ``advance`` is called with its size.
    """
    statements = Path(__file__).with_suffix(f".{database.dialect}.sql").read_text(encoding="utf-8")
    present = await database.one(_count)
    advance(present)
    for first in range(present + 1, rows + 1, BATCH):
        last = min(first + BATCH - 1, rows)
        values = {"first": first, "last": last, "customers": CUSTOMERS, "max_products": MAX_PRODUCTS}
        async with database.migration() as tx:  # no statement timeout
            await tx.run_script(statements.format_map(values))
        advance(last - first + 1)
    async with database.migration() as tx:
        await tx.run_script("ANALYZE")
    return f"{rows:,} orders"
