"""``restwell explain`` on a large shop: no findings, and findings after an index is dropped."""

from pathlib import Path

import pytest

from restwell.database import Database
from servers import restwell

ROWS = 100_000
"""With a fifth of them, PostgreSQL prefers to scan the products."""


async def test_explain_finds_no_query_of_a_large_shop_that_scans_a_table(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    """Breaks when explain misses a full table scan: two dropped indexes then cause no finding.

    tests/database/test_explain.py covers full index scans.
    """
    environment = {"DATABASE_URL": database_url, "RESTWELL_APP": "shop.app:shop"}
    assert restwell("seed", f"--rows={ROWS}", cwd=tmp_path, **environment).stdout.endswith(f"{ROWS:,} orders\n")
    result = restwell("explain", cwd=tmp_path, **environment)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout.endswith(" plans, 0 findings\n")
    plans = restwell("explain", "--all", cwd=tmp_path, **environment).stdout
    assert {"products.by_id", "jobs.insert"} <= set(plans.split())

    async with database.transaction() as tx:
        for index in ("sessions_by_user", "products_by_price"):
            await tx.run_script(f"DROP INDEX {index}")
    broken = restwell("explain", cwd=tmp_path, **environment)
    assert broken.returncode == 1
    assert "foreign key without an index" in broken.stdout
    assert "products.page" in broken.stdout
    assert "scans all of products, more than 10,000 rows: add an index" in broken.stdout


@pytest.mark.parametrize("backend", ["sqlite"])
def test_explain_refuses_an_unmigrated_database(tmp_path: Path, backend: str) -> None:
    environment = {"DATABASE_URL": f"{backend}:///{tmp_path / 'x.db'}", "RESTWELL_APP": "shop.app:shop"}
    """Breaks without the check: the command then prints the driver's error about a missing table."""
    refused = restwell("explain", cwd=tmp_path, **environment)
    assert refused.returncode == 2
    assert "run restwell migrate" in refused.stderr
