"""The nightly cleanup of the shop: what it deletes and what it keeps."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from cleanup import clean, count
from restwell import App
from restwell.database import param, query
from restwell.ids import min_id_at, new_id
from restwell.settings import FilesSettings
from shop.app import create_app
from shop.schema import metadata
from shop.settings import ShopSettings
from shop_client import ShopClient


@pytest.fixture
def app(settings: ShopSettings, tmp_path: Path) -> App:
    return create_app(settings.model_copy(update={"files": FilesSettings(dir=tmp_path / "files")}))


@pytest.mark.slow
async def test_the_cleanup_keeps_recent_rows(customer: ShopClient, admin: ShopClient, app: App) -> None:
    product = await customer.first_product()
    await customer.order("new", (product["id"], 1))
    await admin.send("POST", "/v1/reports", {"first_day": "2026-01-01", "last_day": "2026-01-01"})
    tables = ("idempotency_keys", "reports")
    before = [await count(app, table) for table in tables]
    await clean(app)
    assert [await count(app, table) for table in tables] == before
    assert all(before)


async def test_the_cleanup_deletes_old_reports_and_payment_events(admin: ShopClient, app: App) -> None:
    """Fails if the cleanup of one feature is missing in ``create_app``."""
    user_id = UUID((await admin.get("/v1/users/me")).json()["id"])
    reports, events = metadata.tables["reports"], metadata.tables["payment_events"]
    report = {c.name: param(c.name) for c in reports.columns} | {"state": "ready", "progress": 100}
    add_report = query("test.report", reports.insert().values(report | {"first_day": "", "last_day": ""}))
    add_event = query("test.event", events.insert().values({c.name: param(c.name) for c in events.columns}))
    now = datetime.now(UTC)
    async with app.kit.database.transaction() as tx:
        for then in (now - timedelta(days=29), now - timedelta(days=31)):
            ids = {"id": min_id_at(then), "requested_by": user_id, "job_id": new_id()}
            await tx.run(add_report, **ids, created_at=then)
        for then in (now - timedelta(days=6), now - timedelta(days=8)):
            await tx.run(add_event, id=str(then), received_at=then)
    await clean(app)
    assert [await count(app, table) for table in ("reports", "payment_events")] == [1, 1]


async def test_the_cleanup_deletes_old_files_without_a_row(app: App, client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Uses the fixture ``client`` because it starts the app."""
    assert client is not None
    files = app.kit.files
    names = [f"{folder}/{new_id()}/upload" for folder in ("images", "reports") for _ in range(2)]
    for name in names:
        await files.write(name, b"content")
    for name in names[::2]:
        past = time.time() - timedelta(days=1).total_seconds() - 60
        os.utime((tmp_path / "files" / name).parent, (past, past))
    await clean(app)
    left = [name for name in names if (tmp_path / "files" / name).exists()]
    assert left == names[1::2]
