"""The shop's own queries, on a large shop: each runs along an index."""

import os
from pathlib import Path

import pytest

from restwell.database import Database
from servers import restwell
from shop.demo import PRODUCTS

ROWS = 1_000_000 if os.environ.get("CI") == "true" else 100_000  # a minute on each database, or five seconds

NUMBERS = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})",
    "postgresql": f"WITH n AS (SELECT i FROM generate_series(1, {ROWS}) i)",
}
ID = {"sqlite": "randomblob(16)", "postgresql": "gen_random_uuid()"}
NOW = {"sqlite": "1000000 * i", "postgresql": "now() + i * interval '1 second'"}


async def fill(database: Database) -> None:
    """Products and orders of one customer, made by the database itself."""
    numbers, an_id, now = (part[database.dialect] for part in (NUMBERS, ID, NOW))
    async with database.migration() as tx:  # it may take longer than a request may
        await tx.run_script(
            "INSERT INTO products (id, name, description, category, price_cents, currency, stock, version, created_at,"
            f" updated_at) {numbers} SELECT {an_id}, 'Thing ' || i, 'Number ' || i, 'kind-' || (i % 50), i % 90000, 'EUR',"
            f" 5, 1, {now}, {now} FROM n"
        )
        await tx.run_script(
            f"INSERT INTO orders (user_id, id, status, total_cents, currency, created_at) {numbers}"
            f" SELECT (SELECT id FROM users LIMIT 1), {an_id}, 'pending', i, 'EUR', {now} FROM n"
        )
        await tx.run_script(
            "INSERT INTO order_lines (user_id, order_id, position, product_id, name, unit_price_cents, quantity)"
            f" SELECT user_id, id, 0, {an_id}, 'Thing', total_cents, 1 FROM orders"
        )
        await tx.run_script("ANALYZE")


async def test_every_query_of_a_large_shop_runs_along_an_index(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    """Breaks when an index is dropped: the exit code is then 1, and the query is named."""
    environment = {"DATABASE_URL": database_url, "RESTWELL_APP": "shop.app:shop"}
    await fill(database)
    told = restwell("explain", cwd=tmp_path, **environment)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    assert told.stdout.endswith(" plans, 0 findings\n")
    assert "products.by_id" in restwell("explain", "--all", cwd=tmp_path, **environment).stdout

    async with database.transaction() as tx:
        for index in ("sessions_by_user", "products_by_price"):
            await tx.run_script(f"DROP INDEX {index}")
    broken = restwell("explain", cwd=tmp_path, **environment)
    assert broken.returncode == 1
    assert "a foreign key without an index" in broken.stdout
    assert "products.page" in broken.stdout
    assert f"reads all of products, {ROWS + PRODUCTS:,} rows: it needs an index" in broken.stdout


@pytest.mark.parametrize("backend", ["sqlite"])
def test_asks_for_the_schema_first(tmp_path: Path, backend: str) -> None:
    environment = {"DATABASE_URL": f"{backend}:///{tmp_path / 'x.db'}", "RESTWELL_APP": "shop.app:shop"}
    refused = restwell("explain", cwd=tmp_path, **environment)
    assert refused.returncode == 2
    assert "run restwell migrate" in refused.stderr
