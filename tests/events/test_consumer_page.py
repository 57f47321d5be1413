"""The code of docs/events.md: a service with events, and another one that applies them."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SecretStr
from sqlalchemy import MetaData, Select, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from restwell import App, Restwell
from restwell.database import Migrations, open_database, query
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import finish_jobs, running
from restwell.web import Feature
from servers import ROOT

PAGE = (ROOT / "docs/events.md").read_text()


def module_of(name: str) -> ModuleType:
    """The blocks of the page from the comment with this name to the next one."""
    module = ModuleType(name)
    part = PAGE.partition(f"<!-- module: {name} -->")[2].partition("<!-- module:")[0]
    for block in re.findall(r"```python\n(.*?)```", part, re.DOTALL):
        exec(block, module.__dict__)  # noqa: S102  # the page of this repository
    return module


async def build(folder: Path, name: str, metadata: MetaData, feature: Feature) -> App:
    """An application with its tables."""
    url = f"sqlite:///{folder / name}.db"
    async with open_database(url) as database:
        await Migrations().upgrade(database)
        async with database.transaction() as tx:
            for table in metadata.sorted_tables:
                await tx.run_script(str(CreateTable(table).compile(dialect=sqlite.dialect())))
    settings = Settings(
        runtime_dir=folder / name,
        database=DatabaseSettings(url=SecretStr(url)),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )
    return Restwell(settings, name=name).app([feature])


async def test_the_page_applies_events_in_both_services(tmp_path: Path) -> None:
    prices, search = module_of("prices"), module_of("search")
    reader = search.HttpReader("http://prices.test", "a token")
    catalogue = await build(tmp_path, "prices", prices.metadata, prices.prices_feature)
    index = await build(tmp_path, "search", search.metadata, Feature(services=[reader, search.SearchIndex]))
    async with running(catalogue) as client, running(index):
        reader._http = client  # of the catalogue in this process
        service = catalogue.service(prices.PriceService)
        for product, price_cents in [("cup", 900), ("plate", 1_200), ("cup", 850)]:
            await service.set_price(product, price_cents)
        for app in (catalogue, index):
            await finish_jobs(app)
        applied = await rows(catalogue, select(prices.history.c.product, prices.history.c.price_cents))
        assert [row for row in applied if row[0] == "cup"] == [("cup", 900), ("cup", 850)]
        assert len(applied) == 3
        assert sorted(await rows(index, select(search.found))) == [("cup", 850), ("plate", 1_200)]


async def rows(app: App, statement: Select[Any]) -> list[tuple[Any, ...]]:
    return await app.kit.database.all(query("test.rows", statement.limit(10), into=tuple))
