"""The limit for the queries of a block."""

from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import literal, select

from restwell.database import open_database, query
from restwell.testing import query_budget

one: Final = query("budget.one", select(literal(1)), into=int)
two: Final = query("budget.two", select(literal(2)), into=int)


async def test_a_block_with_more_queries_than_its_limit_fails_and_lists_them(tmp_path: Path) -> None:
    """Fails if queries before the block count, and if those of the block are counted by name only."""
    async with open_database(f"sqlite:///{tmp_path}/app.db") as database:
        await database.one(two)
        with query_budget(3):
            assert [await database.one(each) for each in (one, one, two)] == [1, 1, 2]
        with pytest.raises(AssertionError) as raised, query_budget(2):
            assert [await database.one(each) for each in (one, one, two)] == [1, 1, 2]
    assert str(raised.value) == "3 queries instead of at most 2:\n  1 x budget.two\n  2 x budget.one"


async def test_an_error_of_the_block_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="wrong"), query_budget(0):
        raise ValueError("wrong")
