"""The report examples of ARCHITECTURE.md: a query built at run time, and an SQLAlchemy engine on PostgreSQL."""

import re
from typing import Any

import pytest

from restwell.database import Database
from servers import ROOT


def example(marker: str) -> str:
    """The Python block in ARCHITECTURE.md that contains the marker."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if marker in block]
    return str(found)


async def test_a_query_may_be_built_at_run_time(database: Database) -> None:
    names: dict[str, Any] = {}
    exec(example("report.by_category"), names)  # noqa: S102  # code of the document
    rows = await names["by_category"](database)
    assert sum(row["n"] for row in rows) == 1_000
    assert {"category", "n", "average"} == rows[0].keys()


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_an_engine_of_sqlalchemy_reads_the_database(database_url: str, backend: str) -> None:
    assert backend in database_url
    names: dict[str, Any] = {}
    exec(example("create_async_engine"), names)  # noqa: S102  # as above
    assert len(await names["most_expensive"](database_url)) == 10
