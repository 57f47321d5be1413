"""Personal API keys: what they may do, who creates them, and where they are not stored."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import column, select, table, update
from structlog.testing import capture_logs

from accounts_app import PASSWORD, Role, Scope, create_app
from api_client import Json, assert_problem, error_paths
from cases import each
from personal_api_keys import KEYS, count_notes, create_key, program
from restwell import App
from restwell.accounts import Accounts
from restwell.accounts._api_keys import queries
from restwell.accounts._api_keys.models import api_keys
from restwell.accounts._api_keys.queries import MAX_KEYS
from restwell.accounts._api_keys.tokens import ApiKeyFormat
from restwell.database import Database, param, query
from restwell.observability._log_output import output
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, finish_jobs, running

_set_last_use = query("test.set_last_use", update(api_keys).values(last_used_at=param("at")))
_last_uses = query("test.last_uses", select(api_keys.c.last_used_at), into=datetime)
_rows = query("test.rows", select(api_keys.c.name, api_keys.c.key_hash, api_keys.c.start), into=tuple[str, bytes, str])


async def note_of(user: ApiClient) -> str:
    answer = await user.post("/v1/notes", {"text": "mine"})
    return f"/v1/notes/{answer.json()['id']}"


@pytest.mark.slow
async def test_a_key_is_returned_once_and_stored_as_a_hash(member: ApiClient, database: Database) -> None:
    """Seen to fail with the key itself in the column of its hash."""
    created = await create_key(member, "notes:read", "notes:delete", "notes:read")
    assert created["scopes"] == ["notes:delete", "notes:read"]
    assert re.fullmatch(r"rwk_[0-9A-Za-z]{49}", created["key"])
    assert created["start"] == created["key"][:9]
    key = created.pop("key")
    listed = (await member.get(KEYS)).json()
    assert listed == {"items": [created]}
    ((name, key_hash, start),) = await database.all(_rows)
    assert key[len(start) :].encode() not in key_hash
    assert (name, len(key_hash)) == ("Backup script", 32)


async def test_a_key_acts_as_its_user_within_its_scopes(member: ApiClient, other: ApiClient) -> None:
    """Seen to fail with an actor without scopes: the key then is a session."""
    note, of_other = await note_of(member), await note_of(other)
    reader = program(member, await create_key(member, Scope.NOTES_READ))
    assert (await reader.get(note)).json()["text"] == "mine"
    assert_problem(await reader.get(of_other), 404, "not_found")
    refused = await reader.get("/v1/security-events")
    assert_problem(refused, 403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="events:read"'
    for path in ("/v1/users/me", KEYS, "/v1/sessions", "/v1/users/me/export"):
        assert_problem(await reader.get(path), 403, "insufficient_scope")
    draft = {"name": "Another", "scopes": ["notes:delete"], "current_password": PASSWORD}
    assert_problem(await reader.post(KEYS, draft), 403, "insufficient_scope")
    assert_problem(
        await program(other, await create_key(other, Scope.EVENTS_READ)).get(note), 403, "insufficient_scope"
    )


async def test_a_key_with_a_scope_for_all_users_sees_only_what_its_user_may_see(
    member: ApiClient, admin: ApiClient
) -> None:
    """Seen to fail with the role of machine clients as the role of keys."""
    me = (await member.get("/v1/users/me")).json()["id"]
    events = (await program(member, await create_key(member, Scope.EVENTS_READ)).get("/v1/security-events")).json()
    assert {event["user_id"] for event in events["items"]} == {me}
    of_all = (await program(admin, await create_key(admin, Scope.EVENTS_READ)).get("/v1/security-events")).json()
    assert {event["user_id"] for event in of_all["items"]} > {me}
    reader = program(member, await create_key(member, Scope.NOTES_READ))
    assert_problem(await reader.get("/v1/notes/count"), 403, "forbidden")


async def test_the_last_use_of_a_key_is_recorded_at_most_once_a_minute(
    admin: ApiClient, client: httpx.AsyncClient, app: App, database: Database
) -> None:
    """Seen to fail without the comparison with the previous use: every request then writes."""
    created = await create_key(admin)
    assert await count_notes(created, client) == {200}
    recorded = await last_use(app, database)
    assert recorded is not None
    assert timedelta() <= datetime.now(UTC) - recorded < timedelta(minutes=1)
    assert (await admin.get(KEYS)).json()["items"][0]["last_used_at"] is not None
    for age, is_recorded in ((timedelta(seconds=50), False), (timedelta(seconds=61), True)):
        before = datetime.now(UTC).replace(microsecond=0) - age
        await database.run(_set_last_use, at=before)
        await app.kit.cache.invalidate_now()
        assert await count_notes(created, client) == {200}
        assert (await last_use(app, database) != before) is is_recorded


async def last_use(app: App, database: Database) -> datetime | None:
    """The last use, when all that are noticed are written."""
    (keys,) = (each for each in app._services if type(each).__name__ == "ApiKeyService")
    await keys._uses.close(5)  # type: ignore[attr-defined]
    return next(iter(await database.all(_last_uses)), None)


async def test_a_use_that_cannot_be_recorded_is_logged_and_lost(
    admin: ApiClient, client: httpx.AsyncClient, app: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail without the except: the error is reported when the garbage collector finds it."""
    created = await create_key(admin)
    nowhere = update(table("nowhere", column("id"))).values(id=1)
    monkeypatch.setattr(queries, "record_uses", query("api_keys.record_uses", nowhere))
    with capture_logs() as logs:
        assert await count_notes(created, client) == {200}
        assert await last_use(app, database) is None
    assert [line["log_level"] for line in logs if line["event"] == "api_key_use_not_recorded"] == ["warning"]


async def test_a_mistyped_key_is_rejected_without_a_lookup(member: ApiClient, app: App) -> None:
    """Seen to fail without the comparison of the checksum: each guess is then a read of the database."""
    key = (await create_key(member))["key"]
    swapped = "a" if key[20] != "a" else "b"
    before = app.kit.cache.metrics.stats["api_key"].loads
    for mistyped in (key[:20] + swapped + key[21:], key[:-1], key + "0", "rwk_", "rwk_é", key[:-1] + "é"):
        sent = await member.client.get("/v1/notes/count", headers=[(b"authorization", f"Bearer {mistyped}".encode())])
        assert "copied completely" in assert_problem(sent, 401, "unauthorized")["detail"]
        assert sent.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert app.kit.cache.metrics.stats["api_key"].loads == before
    unknown = await ApiClient(member.client, ApiKeyFormat("rwk_").generate()).get("/v1/notes/count")
    assert "expired or revoked" in assert_problem(unknown, 401, "unauthorized")["detail"]


async def test_a_key_needs_the_current_password(member: ApiClient) -> None:
    """Seen to fail without the check: who has found a signed-in browser would keep the account for years."""
    draft = {"name": "Backup script", "scopes": ["notes:read"]}
    assert error_paths(assert_problem(await member.post(KEYS, draft), 422, "invalid")) == {"$.current_password"}
    for _ in range(5):
        refused = await member.post(KEYS, {**draft, "current_password": "a guess"})
        assert_problem(refused, 403, "wrong_password")
    assert_problem(await member.post(KEYS, {**draft, "current_password": PASSWORD}), 429, "too_many_attempts")
    assert (await member.get(KEYS)).json() == {"items": []}


@each(
    "field",
    [
        {"scopes": []},
        {"scopes": ["notes:write"]},
        {"scopes": ["notes:read"] * 21},
        {"name": " "},
        {"name": "two\nlines"},
        {"expires_at": "2026-01-31T09:30:00"},
        {"expires_at": "2020-01-31T09:30:00Z"},
        {"user_id": "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"},
    ],
)
async def test_a_key_is_not_created_with_an_invalid_field(member: ApiClient, field: Json) -> None:
    draft = {"name": "Backup script", "scopes": ["notes:read"], "current_password": PASSWORD, **field}
    assert_problem(await member.post(KEYS, draft), 422, "invalid")


async def test_a_user_has_at_most_fifty_keys(
    member: ApiClient, other: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_KEYS == 50
    monkeypatch.setattr("restwell.accounts._api_keys.service.MAX_KEYS", 2)
    created = [await create_key(member) for _ in range(2)]
    draft = {"name": "One too many", "scopes": ["notes:read"], "current_password": PASSWORD}
    assert_problem(await member.post(KEYS, draft), 409, "too_many_api_keys")
    await create_key(other)
    assert (await member.delete(f"{KEYS}/{created[0]['id']}")).status_code == 204
    await create_key(member)


async def test_concurrent_requests_do_not_exceed_the_limit_of_keys(
    member: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail on PostgreSQL without the lock of the account: all count before one inserts."""
    monkeypatch.setattr("restwell.accounts._api_keys.service.MAX_KEYS", 2)
    draft = {"name": "Backup script", "scopes": ["notes:read"], "current_password": PASSWORD}
    answers = await asyncio.gather(*[member.post(KEYS, draft) for _ in range(6)])
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 4


async def test_an_account_that_is_deactivated_during_the_creation_of_a_key_gets_none(
    member: ApiClient, app: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail without the second check: a deleted account would have a key."""
    verify = app.kit.passwords.verify

    async def verify_slowly(password: str, hashed: str | None) -> bool:
        async with database.transaction() as tx:
            await tx.run_script("UPDATE users SET active = false WHERE email = 'member@app.example'")
        return await verify(password, hashed)

    monkeypatch.setattr(app.kit.passwords, "verify", verify_slowly)
    draft = {"name": "Backup script", "scopes": ["notes:read"], "current_password": PASSWORD}
    assert_problem(await member.post(KEYS, draft), 401, "unauthorized")
    assert await database.all(_rows) == []


async def test_no_user_sees_or_revokes_the_key_of_another(
    member: ApiClient, other: ApiClient, admin: ApiClient
) -> None:
    """Seen to fail without the user in the WHERE of the deletion."""
    created = await create_key(member)
    for stranger in (other, admin):
        assert (await stranger.get(KEYS)).json() == {"items": []}
        assert_problem(await stranger.delete(f"{KEYS}/{created['id']}"), 404, "not_found")
    assert len((await member.get(KEYS)).json()["items"]) == 1


async def test_the_owner_is_notified_and_the_audit_log_has_the_key(
    member: ApiClient, app: App, mail_box: MailBox
) -> None:
    """Seen to fail with the name of the key in the email: the account of a third party's address could write to it."""
    created = await create_key(member, "notes:read", "notes:delete", name="Click http://evil.example")
    assert (await member.delete(f"{KEYS}/{created['id']}")).status_code == 204
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert (mail.to, mail.subject) == ("member@app.example", "An API key was created")
    assert created["start"] in mail.text
    assert created["key"] not in mail.text
    assert "evil" not in mail.text + mail.html
    events = (await member.get("/v1/security-events")).json()["items"]
    assert [(event["type"], event["detail"]) for event in events[:2]] == [
        ("api_key_revoked", "Click http://evil.example"),
        ("api_key_created", "Click http://evil.example: notes:delete notes:read"),
    ]


async def test_the_export_of_personal_data_has_the_keys_without_secrets(member: ApiClient, other: ApiClient) -> None:
    created = await create_key(member)
    await create_key(other)
    key = created.pop("key")
    export = await member.get("/v1/users/me/export")
    assert export.json()["api_keys"] == [created]
    assert key not in export.text


async def test_no_log_and_no_metric_contains_a_key(
    admin: ApiClient, app: App, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail with the key as the key of the cache, and with a log line for a rejected token."""
    created = await create_key(admin)
    script = program(admin, created)
    assert (await script.get("/v1/notes/count")).status_code == 200
    assert (await script.get("/v1/users/me")).status_code == 403
    assert (await admin.delete(f"{KEYS}/{created['id']}")).status_code == 204
    assert (await script.get("/v1/notes/count")).status_code == 401
    async with database.transaction() as tx:
        await tx.run_script("DROP TABLE api_keys")
    await app.kit.cache.invalidate_now()
    assert (await script.get("/v1/notes/count")).status_code == 500
    await finish_jobs(app)
    output.flush()
    log, metrics = capsys.readouterr().out, (await admin.client.get("/metrics")).text
    assert "unhandled_exception" in log
    assert log.count('"route":"/v1/notes/count"') == 3
    assert "api_key" in metrics
    assert created["key"][9:40] not in log + metrics


async def test_keys_have_the_prefix_of_the_application(settings: Settings) -> None:
    app = create_app(settings, api_key_prefix="shop_")
    async with running(app) as client:
        admin = await ApiClient(client).sign_in("admin@app.example", PASSWORD)
        created = await create_key(admin)
        assert created["key"].startswith("shop_")
        assert await count_notes(created, client) == {200}


async def test_an_application_without_passwords_asks_for_none(member: ApiClient, settings: Settings) -> None:
    async with running(create_app(settings, passwords=False)) as client:
        user = ApiClient(client, member.tokens["access_token"])
        draft = {"name": "Backup script", "scopes": ["notes:read"]}
        problem = assert_problem(await user.post(KEYS, {**draft, "current_password": PASSWORD}), 422, "invalid")
        assert error_paths(problem) == {"$.current_password"}
        created = await user.post(KEYS, draft)
        assert created.status_code == 201, created.text
        assert (await user.get(KEYS)).json()["items"][0]["id"] == created.json()["id"]


async def test_an_application_without_api_keys_rejects_them(settings: Settings) -> None:
    app = create_app(settings, api_keys=False)
    assert "api_key" not in app.openapi["components"]["securitySchemes"]
    async with running(app) as client:
        refused = await ApiClient(client, ApiKeyFormat("rwk_").generate()).get("/v1/notes/count")
        assert_problem(refused, 401, "unauthorized")


async def test_the_document_names_the_scope_of_a_key_where_one_is_accepted(app: App) -> None:
    paths = app.openapi["paths"]
    scheme = app.openapi["components"]["securitySchemes"]["api_key"]
    assert scheme == {"type": "http", "scheme": "bearer", "description": scheme["description"]}
    assert "rwk_" in scheme["description"]
    assert {"api_key": ["notes:read"]} in paths["/v1/notes/count"]["get"]["security"]
    assert "api_key" not in str(paths["/v1/users/me"]["get"]["security"])


def test_api_keys_need_scopes() -> None:
    with pytest.raises(TypeError, match="api_keys needs scopes"):
        Accounts(roles=Role, api_keys=True)
