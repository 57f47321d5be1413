"""Generates any number of products and orders in SQL, to measure query plans and latency on large tables."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import func, select

from restwell.database import Database, query
from shop.orders.models import orders

BATCH: Final = 50_000
MAX_PRODUCTS: Final = 1_000_000
CUSTOMERS: Final = 100_000
"""Number of customers that own the orders. Every thousandth order belongs to the first demo customer."""

_NUMBERS: Final = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n AS (SELECT i FROM generate_series({first}::bigint, {last}) i)",
}
# UUIDv7 ids, one millisecond apart. The middle part differs between products and orders.
_ID: Final = {
    "sqlite": "unhex(printf('%012x{kind}%012x', 1700000000000 + i, i))",
    "postgresql": "(lpad(to_hex(1700000000000 + i), 12, '0') || '{kind}' || lpad(to_hex(i), 12, '0'))::uuid",
}
_USER: Final = {
    "sqlite": "unhex(printf('%032x', i % {customers}))",
    "postgresql": "lpad(to_hex(i % {customers}), 32, '0')::uuid",
}
_PRODUCT, _ORDER = "70008000", "70018000"
_TIME: Final = {"sqlite": "1700000000000000 + i * 1000", "postgresql": "to_timestamp((1700000000000 + i) / 1000.0)"}

_count: Final = query("large.count", select(func.count().label("n")).select_from(orders), into=int)


async def load(database: Database, rows: int, advance: Callable[[int], Any]) -> str:
    """Insert orders of one item each until the table has ``rows`` rows, and one product per order up to MAX_PRODUCTS.

    Each batch is one transaction; ``advance`` is called with its size.
    """
    present = await database.one(_count)
    advance(present)
    for first in range(present + 1, rows + 1, BATCH):
        last = min(first + BATCH - 1, rows)
        async with database.migration() as tx:  # no statement timeout
            for statement in _statements(database.dialect, first, last):
                await tx.run_script(statement)
        advance(last - first + 1)
    async with database.migration() as tx:
        await tx.run_script("ANALYZE")
    return f"{rows:,} orders"


def _statements(dialect: str, first: int, last: int) -> list[str]:
    numbers = _NUMBERS[dialect].format(first=first, last=last)
    product, order = (_ID[dialect].format(kind=kind) for kind in (_PRODUCT, _ORDER))
    other_user, time = _USER[dialect].format(customers=CUSTOMERS), _TIME[dialect]
    user = (
        "CASE WHEN i % 1000 = 0 THEN (SELECT id FROM users WHERE email = 'customer1@shop.example')"
        f" ELSE {other_user} END"
    )
    add_products = (
        "INSERT INTO products (id, name, description, category, price_cents, currency, stock, version, created_at,"
        f" updated_at) {numbers} SELECT {product}, 'Product ' || i, 'Number ' || i, 'kind-' || (i % 50),"
        f" i % 90000, 'EUR', 1000000, 1, {time}, {time} FROM n"
    )
    placed = (
        f"INSERT INTO orders (user_id, id, status, total_cents, currency, created_at) {numbers}"
        f" SELECT {user}, {order}, 'paid', i % 90000, 'EUR', {time} FROM n"
    )
    lines = (
        "INSERT INTO order_lines (user_id, order_id, position, product_id, name, unit_price_cents, quantity)"
        f" {numbers} SELECT {user}, {order}, 0, (SELECT id FROM products LIMIT 1), 'Product ' || i, i % 90000, 1 FROM n"
    )
    return [*([add_products] if last <= MAX_PRODUCTS else []), placed, lines]
