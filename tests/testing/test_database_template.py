"""Databases that are copies of a template."""

from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import func, select, table, text

from restwell.database import Database, open_database, query
from restwell.testing import DatabaseTemplate
from restwell.testing._database_template import _named

count: Final = query("template.count", select(func.count()).select_from(table("filled")), into=int)
add: Final = query("template.add", text("INSERT INTO filled VALUES (1)"))


async def fill(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.run_script("CREATE TABLE filled (n INTEGER)")


@pytest.fixture
def template(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> DatabaseTemplate:
    return DatabaseTemplate(tmp_path, request.getfixturevalue("postgres_server") if backend == "postgresql" else "")


async def test_each_copy_has_what_filled_the_template_and_no_more(template: DatabaseTemplate, tmp_path: Path) -> None:
    """Fails if the second test gets the database of the first, or if each copy is filled again."""
    fills = 0

    async def fill_once(database: Database) -> None:
        nonlocal fills
        fills += 1
        await fill(database)

    for _ in range(2):
        async with template.copy(fill_once) as url, open_database(url) as database:
            assert await database.one(count) == 0
            await database.run(add)
            assert await database.one(count) == 1
    assert fills == 1
    await template.drop()
    assert list(tmp_path.iterdir()) == []


async def test_a_template_that_could_not_be_filled_is_filled_again(template: DatabaseTemplate) -> None:
    """Fails if what the failed attempt has written stays."""

    async def fail(database: Database) -> None:
        await fill(database)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        async with template.copy(fail):
            pass
    async with template.copy(fill) as url, open_database(url) as database:
        assert await database.one(count) == 0
    await template.drop()


def test_the_options_of_a_server_stay_in_the_url() -> None:
    assert _named("postgresql://u@a,b:1/postgres?sslmode=require", "t") == "postgresql://u@a,b:1/t?sslmode=require"
    assert _named("postgresql:///postgres?host=/run/a", "t") == "postgresql:///t?host=/run/a"
