"""What a service of the application does when an account changes, in the transaction of the change."""

from uuid import UUID

import httpx
import pytest
from sqlalchemy import Column, MetaData, Table, Text, select

from accounts_app import PASSWORD, create_app
from api_client import assert_problem
from restwell import App
from restwell.accounts import AccountHooks
from restwell.database import Database, Id, Transaction, insert_row, query
from restwell.errors import Conflict
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.web import Feature

ADA = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada Lovelace"}
calls = Table("calls", MetaData(), Column("event", Text), Column("user_id", Id))
insert_call = query("calls.insert", insert_row(calls))
all_calls = query("calls.all", select(calls.c.event, calls.c.user_id), into=tuple)


class Calls:
    """Stores each call, and fails after it if ``fails``."""

    fails = False

    def __init__(self, hooks: AccountHooks) -> None:
        hooks.on_registered.append(self.registered)
        hooks.on_password_changed.append(self.password_changed)
        hooks.on_deleted.append(self.deleted)

    async def registered(self, tx: Transaction, user_id: UUID) -> None:
        await self._store(tx, "registered", user_id)

    async def password_changed(self, tx: Transaction, user_id: UUID) -> None:
        await self._store(tx, "password changed", user_id)

    async def deleted(self, tx: Transaction, user_id: UUID) -> None:
        await self._store(tx, "deleted", user_id)

    async def _store(self, tx: Transaction, event: str, user_id: UUID) -> None:
        await tx.run(insert_call, event=event, user_id=user_id)
        if self.fails:
            raise Conflict


@pytest.fixture
async def app(settings: Settings, database: Database) -> App:
    async with database.transaction() as tx:
        column = "BLOB" if database.dialect == "sqlite" else "uuid"
        await tx.run_script(f"CREATE TABLE calls (event text, user_id {column})")
    return create_app(settings, Feature(services=[Calls]))


async def test_a_service_that_takes_the_hooks_is_called_for_each_change(
    anyone: ApiClient, member: ApiClient, app: App
) -> None:
    ada = (await anyone.post("/v1/users", ADA)).json()
    me = (await member.get("/v1/users/me")).json()
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await member.post("/v1/users/me/password", change)).status_code == 204
    assert (await member.delete("/v1/users/me")).status_code == 204
    assert await app.kit.database.all(all_calls) == [
        ("registered", UUID(ada["id"])),
        ("password changed", UUID(me["id"])),
        ("deleted", UUID(me["id"])),
    ]


async def test_a_hook_that_fails_rolls_the_change_back(
    client: httpx.AsyncClient, member: ApiClient, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the hooks run after the commit."""
    before = (await member.get("/v1/users/me")).json()
    monkeypatch.setattr(Calls, "fails", True)
    assert_problem(await client.post("/v1/users", json=ADA), 409, "conflict")
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert_problem(await member.post("/v1/users/me/password", change), 409, "conflict")
    assert_problem(await member.delete("/v1/users/me"), 409, "conflict")
    assert (await member.get("/v1/users/me")).json() == before
    assert await app.kit.database.all(all_calls) == []
    await ApiClient(client).sign_in("member@app.example", PASSWORD)
    monkeypatch.setattr(Calls, "fails", False)
    assert (await client.post("/v1/users", json=ADA)).status_code == 201
