"""The code of docs/two-services.md: changes of products are events, which another service with its database applies."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from documents import blocks
from restwell import App, Restwell
from restwell.database import Migrations, open_database, query
from restwell.events import EventBatch, EventReader, Events, Topic
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import finish_jobs, running
from restwell.web import Feature
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient, product_with

PAGE = {block.file: block.code for block in blocks("docs/two-services.md") if block.language == "python"}


def module_of(file: str) -> Any:
    module = ModuleType(file)
    exec(PAGE[file], module.__dict__)  # noqa: S102  # the page of this repository
    return module


class EveryEvent(EventReader):
    """Reads all events each time, also those that were applied."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def read(self, topic: Topic[Any], after: str) -> EventBatch:
        all_of = await self._events.read(topic)
        return EventBatch(after or all_of.after, all_of.events)


async def index_of(folder: Path, page: Any, events: Events) -> App:
    """The application of the page, with its tables, which reads these events."""
    url = f"sqlite:///{folder / 'index.db'}"
    async with open_database(url) as database:
        await Migrations().upgrade(database)
        async with database.transaction() as tx:
            await tx.run_script(str(CreateTable(page.indexed).compile(dialect=sqlite.dialect())))

    def reader() -> EventReader:
        return EveryEvent(events)

    settings = Settings(
        runtime_dir=folder / "index",
        database=DatabaseSettings(url=SecretStr(url)),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )
    return Restwell(settings, name="index").app([Feature(services=[reader, page.ProductIndex])])


async def test_product_changes_reach_another_service_once_and_in_the_order_of_each_product(
    settings: ShopSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the event is committed before the change, which may be refused, or if repeats are applied again."""
    changes, page = module_of("product_changes.py"), module_of("product_index.py")
    catalogue = create_app(settings, replacements=[changes.AnnouncedProducts])
    index = await index_of(tmp_path, page, catalogue.kit.events)
    applied: list[tuple[str, int | None]] = []
    apply = page.ProductIndex.apply

    async def record(self: object, tx: object, event: Any) -> None:
        applied.append((event.key, event.payload.product and event.payload.product.price_cents))
        await apply(self, tx, event)

    monkeypatch.setattr(page.ProductIndex, "apply", record)
    async with running(catalogue) as client, running(index):
        admin = await ShopClient(client).sign_in("admin@shop.example")
        cup, plate = [await product_with(admin, 5, price_cents=cents) for cents in (900, 1_200)]
        for cents in (850, 800, 950):
            await finish_jobs(index)
            for product in (cup, plate):
                changed = await admin.patch(f"/v1/products/{product['id']}", {"price_cents": cents}, if_match="*")
                assert changed.status_code == 200
            refused = await admin.patch(f"/v1/products/{cup['id']}", {"price_cents": 1}, if_match='"1"')
            assert refused.status_code == 412
        assert (await admin.delete(f"/v1/products/{plate['id']}", if_match="*")).status_code == 204
        await finish_jobs(index)
        await finish_jobs(index)
        rows = await index.kit.database.all(query("test.indexed", select(page.indexed).limit(10), into=tuple))
    assert [cents for key, cents in applied if key == cup["id"]] == [900, 850, 800, 950]
    assert [cents for key, cents in applied if key == plate["id"]] == [1_200, 850, 800, 950, None]
    assert len(applied) == 9
    assert rows == [(cup["id"], "Rare Thing", 950)]
