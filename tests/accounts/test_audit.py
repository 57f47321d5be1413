"""The audit log: security events are recorded, and are append-only."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update

from accounts_app import PASSWORD
from api_client import Json, assert_problem
from restwell import App
from restwell.accounts._sessions.models import refresh_tokens
from restwell.database import param, query
from restwell.testing import ApiClient

_age_used_tokens = query(
    "test.age_used_tokens",
    update(refresh_tokens).where(refresh_tokens.c.used_at.is_not(None)).values(used_at=param("used_at")),
)


async def events(api: ApiClient, query: str = "") -> list[Json]:
    found: list[Json] = (await api.get(f"/v1/security-events?limit=100{query}")).json()["items"]
    return found


def names(found: list[Json]) -> list[str]:
    return [one["type"] for one in found]


async def test_a_user_lists_their_own_security_events_newest_first(
    client: httpx.AsyncClient, member: ApiClient
) -> None:
    bad = {"email": "member@app.example", "password": "a wrong one"}
    failed = await client.post("/v1/sessions", json=bad)
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    await member.send("POST", "/v1/users/me/password", change)
    found = await events(member)
    assert names(found) == ["password_changed", "sign_in_failed", "signed_in"]
    assert found[1]["request_id"] == failed.headers["x-request-id"]
    assert found[1]["ip_address"] == "127.0.0.1"
    phone = await ApiClient(client).sign_in("member@app.example", "an entirely new one")
    await phone.send("DELETE", "/v1/sessions/current")
    await member.send("DELETE", "/v1/sessions")
    again = await ApiClient(client).sign_in("member@app.example", "an entirely new one")
    assert names(await events(again))[:4] == ["signed_in", "signed_out_everywhere", "signed_out", "signed_in"]


async def test_an_admin_lists_all_security_events_and_a_member_only_their_own(
    client: httpx.AsyncClient, member: ApiClient, admin: ApiClient
) -> None:
    """Fails if members can use the admin's filter."""
    await client.post("/v1/sessions", json={"email": "nobody@app.example", "password": "a wrong one"})
    me = (await member.get("/v1/users/me")).json()["id"]
    boss = (await admin.get("/v1/users/me")).json()["id"]
    await admin.send("PATCH", f"/v1/users/{me}", {"role": "administrator"})
    await admin.send("PATCH", f"/v1/users/{me}", {"role": "member"})
    assert {one["user_id"] for one in await events(admin)} == {me, boss}
    mine = await events(admin, f"&user_id={me}")
    assert names(mine) == ["account_updated", "account_updated", "signed_in"]
    assert (mine[1]["detail"], mine[1]["actor_id"]) == ("role: administrator, active: true", boss)
    assert await events(member, f"&user_id={boss}") == mine


async def test_a_cursor_of_the_events_of_an_admin_is_refused_for_a_member(
    member: ApiClient, admin: ApiClient, other: ApiClient
) -> None:
    assert other.tokens
    first: Json = (await admin.get("/v1/security-events?limit=1")).json()
    assert len(first["items"]) == 1
    second: Json = (await admin.get(f"/v1/security-events?limit=1&cursor={first['next_cursor']}")).json()
    assert second["items"][0]["id"] < first["items"][0]["id"]
    refused = await member.get(f"/v1/security-events?cursor={first['next_cursor']}")
    assert_problem(refused, 400, "invalid_cursor")


async def test_the_reuse_of_a_refresh_token_is_a_security_event(
    client: httpx.AsyncClient, member: ApiClient, app: App
) -> None:
    token = {"refresh_token": member.tokens["refresh_token"]}
    assert (await client.post("/v1/sessions/refresh", json=token)).status_code == 200
    await app.kit.database.run(_age_used_tokens, used_at=datetime.now(UTC) - timedelta(minutes=1))
    assert (await client.post("/v1/sessions/refresh", json=token)).status_code == 401
    owner = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    assert "refresh_token_reused" in names(await events(owner))


@pytest.mark.parametrize(
    "change",
    ["UPDATE security_events SET type = 'nothing'", "DELETE FROM security_events", "TRUNCATE security_events"],
)
async def test_the_database_refuses_to_change_security_events(member: ApiClient, app: App, change: str) -> None:
    """Breaks without the triggers of migration 0003."""
    if app.kit.database.dialect == "sqlite" and change.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(Exception, match="append-only"):
        async with app.kit.database.transaction() as tx:
            await tx.run_script(change)
    assert names(await events(member)) == ["signed_in"]
