"""The nightly cleanup: what it deletes and what it keeps."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy import table as sqlalchemy_table

from restwell import App
from restwell.accounts._audit.models import security_events
from restwell.accounts._sessions.models import sessions
from restwell.database import param, query
from restwell.ids import min_id_at, new_id
from restwell.jobs import JobState
from restwell.retention import clean_up
from restwell.settings import FilesSettings
from restwell.testing import finish_jobs
from shop.app import create_app
from shop.schema import metadata
from shop.settings import ShopSettings
from shop_client import ShopClient


@pytest.fixture
def app(settings: ShopSettings, tmp_path: Path) -> App:
    return create_app(settings.model_copy(update={"files": FilesSettings(dir=tmp_path / "files")}))


async def clean(app: App) -> None:
    async with app.kit.database.transaction() as tx:
        job_id = await app.kit.jobs.enqueue(tx, clean_up)
    await finish_jobs(app)
    assert (await app.kit.jobs.get(job_id)).state == JobState.DONE


async def count(app: App, table: str) -> int:
    counted = select(func.count().label("n")).select_from(sqlalchemy_table(table))
    return await app.kit.database.one(query("test.count", counted, into=int))


async def set_back(app: App, table: str, column: str) -> None:
    on_sqlite = app.kit.database.dialect == "sqlite"
    past = "(unixepoch() - 366 * 86400) * 1000000" if on_sqlite else "now() - interval '366 days'"
    async with app.kit.database.transaction() as tx:
        await tx.run_script(f"UPDATE {table} SET {column} = {past}")


add_session = query(
    "test.session",
    sessions.insert().values(
        {name: param(name) for name in ("id", "user_id", "created_at", "last_used_at", "expires_at")}
        | {"user_agent": "", "ip_address": "", "revoked_at": None}
    ),
)


async def test_the_cleanup_keeps_recent_rows(
    customer: ShopClient, admin: ShopClient, client: httpx.AsyncClient, app: App
) -> None:
    product = await customer.first_product()
    await customer.order("new", (product["id"], 1))
    await client.post("/v1/password-resets", json={"email": "customer1@shop.example"})
    await finish_jobs(app)
    await admin.send("POST", "/v1/reports", {"first_day": "2026-01-01", "last_day": "2026-01-01"})
    tables = ("sessions", "refresh_tokens", "idempotency_keys", "password_resets", "reports")
    before = [await count(app, table) for table in tables]
    await clean(app)
    assert [await count(app, table) for table in tables] == before
    assert all(before)
    assert (await customer.get("/v1/users/me")).status_code == 200


async def test_the_cleanup_deletes_expired_rows(customer: ShopClient, client: httpx.AsyncClient, app: App) -> None:
    product = await customer.first_product()
    for number in range(3):
        await customer.order(f"key {number}", (product["id"], 1))
        await client.post("/v1/password-resets", json={"email": "customer1@shop.example"})
        await customer.send("POST", "/v1/email-verifications", {"email": "customer1@shop.example"})
        await client.post("/v1/sessions", json={"email": f"{number}@shop.example", "password": "a wrong one"})
    await finish_jobs(app)
    await set_back(app, "password_resets", "expires_at")
    await set_back(app, "email_verifications", "expires_at")
    await set_back(app, "failed_attempts", "last_failed_at")
    await clean(app)
    tables = ("password_resets", "email_verifications", "failed_attempts")
    assert [await count(app, table) for table in tables] == [0, 0, 0]


async def test_the_cleanup_deletes_security_events_after_a_year(customer: ShopClient, app: App) -> None:
    """The trigger allows deletion one day before the cleanup deletes."""
    assert customer.tokens
    events = security_events
    given = {c.name: param(c.name) if c.name in {"id", "occurred_at"} else None for c in events.columns} | {
        "type": "signed_in"
    }
    add = query("test.event", events.insert().values(given))
    async with app.kit.database.transaction() as tx:
        for days in (365, 367):
            then = datetime.now(UTC) - timedelta(days=days)
            await tx.run(add, id=min_id_at(then), occurred_at=then)
    before = await count(app, "security_events")
    await clean(app)
    assert await count(app, "security_events") == before - 1


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


async def test_the_cleanup_deletes_sessions_a_week_after_their_end(customer: ShopClient, app: App) -> None:
    user_id = UUID((await customer.get("/v1/users/me")).json()["id"])
    lifetime = timedelta(seconds=app.kit.settings.jwt.refresh_ttl_seconds)
    async with app.kit.database.transaction() as tx:
        for age in (lifetime + timedelta(days=6), lifetime + timedelta(days=8)):
            began = datetime.now(UTC) - age
            times = {"created_at": began, "last_used_at": began, "expires_at": began + lifetime}
            await tx.run(add_session, id=min_id_at(began), user_id=user_id, **times)
    before = await count(app, "sessions")
    await clean(app)
    assert await count(app, "sessions") == before - 1


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
