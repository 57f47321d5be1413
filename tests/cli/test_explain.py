"""``restwell explain``. What is a finding is tested with the database; the shop's suite has one with many rows."""

from pathlib import Path

import pytest

from environments import migrated
from servers import restwell

pytestmark = pytest.mark.integration


async def test_the_queries_of_the_kit_are_planned(tmp_path: Path) -> None:
    """Fails if the queries of a part of the kit are left out."""
    environment = await migrated(tmp_path / "tiny.db", "tiny.app")
    found = restwell("explain", "--all", cwd=tmp_path, **environment)
    assert (found.returncode, found.stdout.endswith(" plans, 0 findings\n")) == (0, True), found.stderr
    assert {"jobs.claim", "events.unread"} <= set(found.stdout.split())
