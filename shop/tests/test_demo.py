"""The demo data is deterministic, and seeding is idempotent."""

from collections import Counter
from pathlib import Path

import pytest

from restwell.database import Database
from servers import restwell
from shop import demo


def test_the_demo_catalogue_is_the_same_at_every_call() -> None:
    rows = list(demo.catalogue())
    assert rows == list(demo.catalogue())
    assert len(rows) == len({row["id"] for row in rows}) == len({row["name"] for row in rows}) == demo.PRODUCTS
    assert [*Counter(row["category"] for row in rows).values()] == [125] * 8
    assert all(row["id"].version == 7 and row["stock"] > 0 and row["price_cents"] > 500 for row in rows)
    assert all(len(row["description"].split()) > 2 for row in rows)


async def test_seed_does_not_change_an_existing_catalogue(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.run_script("DELETE FROM products WHERE category <> 'audio'")
    assert await demo.seed(database) == "125 products"


@pytest.mark.integration
@pytest.mark.parametrize("backend", ["sqlite"])
def test_seeding_is_idempotent(tmp_path: Path, backend: str) -> None:
    environment = {"DATABASE_URL": f"{backend}:///{tmp_path / 'shop.db'}", "RESTWELL_APP": "shop.app:shop"}
    assert restwell("migrate", cwd=tmp_path, **environment).returncode == 0
    for _ in range(2):
        completed = restwell("seed", cwd=tmp_path, **environment)
        assert (completed.returncode, completed.stdout) == (0, "1,000 products\n")
