"""When API keys are rejected, on every node."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from accounts_app import PASSWORD, create_app
from api_client import assert_problem
from personal_api_keys import KEYS, count_notes, create_key, program
from restwell import App
from restwell.accounts._api_keys.models import api_keys
from restwell.database import Database, param, query
from restwell.retention import Cleanup
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, finish_jobs, running

NEW = {"email": "new@app.example", "password": "a long enough one", "name": "New"}

_ids = query("test.ids", select(api_keys.c.id), into=UUID)
_set_expiry = query("test.set_expiry", update(api_keys).values(expires_at=param("at")))


@pytest.fixture
async def other_node(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A second process of the application, as far as the caches are concerned."""
    async with running(create_app(settings)) as client:
        yield client


async def test_a_revoked_key_is_rejected_at_once_on_every_node_and_no_other_is(
    admin: ApiClient, client: httpx.AsyncClient, other_node: httpx.AsyncClient
) -> None:
    """Seen to fail without the invalidation of the cached key."""
    first, second = await create_key(admin), await create_key(admin)
    assert await count_notes(first, client, other_node) == {200}
    assert (await admin.delete(f"{KEYS}/{first['id']}")).status_code == 204
    assert await count_notes(first, client, other_node) == {401}
    assert await count_notes(second, client, other_node) == {200}
    assert_problem(await admin.delete(f"{KEYS}/{first['id']}"), 404, "not_found")


async def test_a_key_never_has_more_rights_than_its_user_has_now(
    member: ApiClient, admin: ApiClient, client: httpx.AsyncClient, other_node: httpx.AsyncClient
) -> None:
    """Seen to fail with the role cached under the tag of the key instead of its user."""
    me = (await member.get("/v1/users/me")).json()["id"]
    created = await create_key(member)
    assert await count_notes(created, client, other_node) == {403}
    for change, status in (
        ({"role": "administrator"}, 200),
        ({"role": "member"}, 403),
        ({"role": "administrator"}, 200),
        ({"active": False}, 401),
        ({"active": True}, 200),
    ):
        assert (await admin.patch(f"/v1/users/{me}", change)).status_code == 200
        assert await count_notes(created, client, other_node) == {status}, change


async def test_the_deletion_of_an_account_deletes_its_keys(
    admin: ApiClient, client: httpx.AsyncClient, other_node: httpx.AsyncClient, database: Database
) -> None:
    """Seen to fail without the hook."""
    created = await create_key(admin)
    assert await count_notes(created, client, other_node) == {200}
    assert (await admin.delete("/v1/users/me")).status_code == 204
    assert await count_notes(created, client, other_node) == {401}
    assert await database.all(_ids) == []


async def test_a_password_reset_revokes_the_keys_of_an_unverified_account(
    anyone: ApiClient, app: App, mail_box: MailBox, other_node: httpx.AsyncClient
) -> None:
    """Seen to fail without the hook: who registered another person's address would keep a key of the account."""
    assert (await anyone.post("/v1/users", NEW)).status_code == 201
    attacker = await ApiClient(anyone.client).sign_in(NEW["email"], NEW["password"])
    created = await create_key(attacker, password=NEW["password"])
    assert await count_notes(created, anyone.client, other_node) == {403}
    assert (await anyone.post("/v1/password-resets", {"email": NEW["email"]})).status_code == 202
    await finish_jobs(app)
    (reset,) = (mail for mail in mail_box.mails if mail.subject == "Reset your password")
    completion = {"code": reset.code, "password": "the password of the owner"}
    assert (await anyone.post("/v1/password-resets/completion", completion)).status_code == 204
    assert await count_notes(created, anyone.client, other_node) == {401}


async def test_a_password_change_and_a_sign_out_everywhere_keep_the_keys(
    admin: ApiClient, client: httpx.AsyncClient
) -> None:
    """Keys belong to programs, which would stop. Their owner revokes them one by one."""
    created = await create_key(admin)
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await admin.post("/v1/users/me/password", change)).status_code == 204
    assert (await admin.delete("/v1/sessions")).status_code == 204
    assert await count_notes(created, client) == {200}


async def test_an_expired_key_is_rejected_and_deleted_after_thirty_days(
    admin: ApiClient, client: httpx.AsyncClient, app: App, database: Database
) -> None:
    """Seen to fail without the check of the time, which is needed while the key is cached."""
    forever, expiring = await create_key(admin), await create_key(admin, expires_at="2100-01-31T09:30:00Z")
    assert expiring["expires_at"] == "2100-01-31T09:30:00Z"
    assert await count_notes(expiring, client) == {200}
    await database.run(_set_expiry, at=datetime.now(UTC) - timedelta(seconds=1))
    await app.kit.cache.invalidate_now()
    rejected = await program(admin, expiring).get("/v1/notes/count")
    assert "expired or revoked" in assert_problem(rejected, 401, "unauthorized")["detail"]
    await clean_up(app)
    assert len((await admin.get(KEYS)).json()["items"]) == 2
    await database.run(_set_expiry, at=datetime.now(UTC) - timedelta(days=31))
    await clean_up(app)
    assert (await admin.get(KEYS)).json() == {"items": []}
    assert forever["expires_at"] is None


async def test_a_key_that_expires_while_it_is_cached_is_rejected(
    admin: ApiClient, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await create_key(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert await count_notes(created, client) == {200}

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return super().now(tz) + timedelta(hours=1)

    monkeypatch.setattr("restwell.accounts._api_keys.service.datetime", Later)
    assert await count_notes(created, client) == {401}


async def clean_up(app: App) -> None:
    (cleanup,) = (each for each in app._services if isinstance(each, Cleanup))
    await cleanup.run()
