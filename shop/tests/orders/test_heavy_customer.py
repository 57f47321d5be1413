"""Reading an order does not become slower with the number of the customer's orders."""

from typing import Any

import asyncpg
import msgspec
import pytest

from shop.orders import queries

ORDERS = 20_000
FILL_ORDERS = (
    "INSERT INTO orders (user_id, id, status, total_cents, currency, created_at)"
    " SELECT CASE WHEN i % 2 = 0 THEN u.id ELSE gen_random_uuid() END, gen_random_uuid(), 'pending', 1, 'EUR', now()"
    f" FROM generate_series(1, {ORDERS}) i, users u WHERE u.email = 'customer1@shop.example'"
)
FILL = (
    FILL_ORDERS,
    "INSERT INTO order_lines SELECT user_id, id, 0, gen_random_uuid(), 'Thing', 1, 1 FROM orders",
    "ANALYZE orders, order_lines",
)


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", []) for inner in nodes(child))]


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_cached_query_plan_reads_only_the_lines_of_its_orders(database_url: str, backend: str) -> None:
    """Fails with a plain condition on user and order ids: PostgreSQL then reads all lines of the customer."""
    assert backend in database_url
    connection = await asyncpg.connect(database_url)
    for statement in FILL:
        await connection.execute(statement)
    user_id = await connection.fetchval("SELECT id FROM users WHERE email = 'customer1@shop.example'")
    wanted = await connection.fetch("SELECT id FROM orders WHERE user_id = $1 LIMIT 20", user_id)
    ids = ", ".join(f"'{row['id']}'" for row in wanted)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE prepared AS {queries.lines_of_user.compiled['postgresql'].sql}")
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE prepared(ARRAY[{ids}]::uuid[], '{user_id}')"
    )
    await connection.close()
    plan = nodes(msgspec.json.decode(explained)[0]["Plan"])
    assert sum(node.get("Rows Removed by Filter", 0) for node in plan) == 0
    assert plan[0]["Actual Rows"] == 20
