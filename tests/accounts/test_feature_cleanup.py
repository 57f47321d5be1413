"""The nightly cleanup of accounts: what it deletes and what it keeps."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import httpx

from cleanup import clean, count
from restwell import App
from restwell.accounts._audit.models import security_events
from restwell.accounts._sessions.models import sessions
from restwell.database import param, query
from restwell.ids import min_id_at
from restwell.testing import ApiClient, finish_jobs

EXPIRING: Final = {
    "password_resets": "expires_at",
    "email_verifications": "expires_at",
    "failed_attempts": "last_failed_at",
}
add_session = query(
    "test.session",
    sessions.insert().values(
        {name: param(name) for name in ("id", "user_id", "created_at", "last_used_at", "expires_at")}
        | {"user_agent": "", "ip_address": "", "revoked_at": None}
    ),
)


async def fill(client: httpx.AsyncClient, member: ApiClient, app: App) -> None:
    """Insert rows into each of EXPIRING."""
    for number in range(3):
        await client.post("/v1/password-resets", json={"email": "member@app.example"})
        await member.post("/v1/email-verifications", {"email": "member@app.example"})
        await client.post("/v1/sessions", json={"email": f"{number}@app.example", "password": "a wrong one"})
    await finish_jobs(app)


async def set_back(app: App, table: str, column: str) -> None:
    on_sqlite = app.kit.database.dialect == "sqlite"
    past = "(unixepoch() - 366 * 86400) * 1000000" if on_sqlite else "now() - interval '366 days'"
    async with app.kit.database.transaction() as tx:
        await tx.run_script(f"UPDATE {table} SET {column} = {past}")


async def test_the_cleanup_keeps_recent_rows_of_accounts(
    member: ApiClient, client: httpx.AsyncClient, app: App
) -> None:
    await fill(client, member, app)
    tables = ("sessions", "refresh_tokens", "security_events", *EXPIRING)
    before = [await count(app, table) for table in tables]
    await clean(app)
    assert [await count(app, table) for table in tables] == before
    assert all(before)
    assert (await member.get("/v1/users/me")).status_code == 200


async def test_the_cleanup_deletes_expired_rows_of_accounts(
    member: ApiClient, client: httpx.AsyncClient, app: App
) -> None:
    """Fails if the service of a part is no ``DeletesExpired``."""
    await fill(client, member, app)
    for table, column in EXPIRING.items():
        await set_back(app, table, column)
    await clean(app)
    assert {table: await count(app, table) for table in EXPIRING} == dict.fromkeys(EXPIRING, 0)


async def test_the_cleanup_deletes_security_events_after_a_year(member: ApiClient, app: App) -> None:
    """The trigger allows deletion one day before the cleanup deletes."""
    assert member.tokens
    given = {c.name: param(c.name) if c.name in {"id", "occurred_at"} else None for c in security_events.columns}
    add = query("test.event", security_events.insert().values({**given, "type": "signed_in"}))
    async with app.kit.database.transaction() as tx:
        for days in (365, 367):
            then = datetime.now(UTC) - timedelta(days=days)
            await tx.run(add, id=min_id_at(then), occurred_at=then)
    before = await count(app, "security_events")
    await clean(app)
    assert await count(app, "security_events") == before - 1


async def test_the_cleanup_deletes_sessions_a_week_after_their_end(member: ApiClient, app: App) -> None:
    user_id = UUID((await member.get("/v1/users/me")).json()["id"])
    lifetime = timedelta(seconds=app.kit.settings.jwt.refresh_ttl_seconds)
    async with app.kit.database.transaction() as tx:
        for age in (lifetime + timedelta(days=6), lifetime + timedelta(days=8)):
            began = datetime.now(UTC) - age
            times = {"created_at": began, "last_used_at": began, "expires_at": began + lifetime}
            await tx.run(add_session, id=min_id_at(began), user_id=user_id, **times)
    before = await count(app, "sessions")
    await clean(app)
    assert await count(app, "sessions") == before - 1
