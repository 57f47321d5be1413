"""Idempotent routes: retries have one effect and receive one response, also after failures."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from msgspec import Struct
from pydantic import SecretStr
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select, update

from api_client import assert_problem
from restwell import App, Restwell
from restwell.auth import Actor
from restwell.database import (
    Database,
    Migrations,
    TransactionConflict,
    open_database,
    param,
    query,
)
from restwell.errors import Conflict
from restwell.idempotency import _keys as keys
from restwell.settings import DatabaseSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Cookie, Feature, Response, Version, post, signed_in

ADA, GRACE = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"), UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b6")
ledger = Table("ledger", MetaData(), Column("id", Integer, primary_key=True), Column("text", Text))
write = query("ledger.write", insert(ledger).values(text=param("text")).returning(ledger.c.id), into=int)
count = query("ledger.count", select(func.count().label("n")).select_from(ledger), into=int)
forget_the_rest = query(
    "test.forget_the_rest",
    update(keys).values(target="", status=201, headers=b"{}").returning(keys.c.key),
    into=str,
)


class Draft(Struct, frozen=True):
    text: str


class Entry(Struct, frozen=True):
    id: int
    text: str


faults: list[Exception] = []


class LedgerService:
    """Opens transactions of its own, as always."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, text: str) -> Entry:
        async with self._database.transaction() as tx:
            number = await tx.one(write, text=text)
        if faults:
            raise faults.pop()
        return Entry(number, text)


class Ledger(Controller):
    path = "/ledger"
    guards = [signed_in]

    @post(idempotent=True, query_budget={"idempotency_keys.claim": 2, "ledger.write": 2})
    async def add(self, data: Draft, actor: Actor, ledger: LedgerService) -> Response[Entry]:
        """Add an entry."""
        entry = await ledger.add(data.text)
        headers = {"location": f"/v1/ledger/{entry.id}", "x-by": str(actor.id)}
        return Response(content=entry, status_code=202, headers=headers)

    @post("/{number}/copies", idempotent=True, status_code=200, query_budget={"ledger.write": 2})
    async def copy(self, number: int, ledger: LedgerService, to: int = 1) -> Entry:
        """Copy an entry, several times."""
        return [await ledger.add(str(number)) for _ in range(to)][-1]

    @post("/text", idempotent=True)
    async def add_text(self, data: Draft, ledger: LedgerService) -> str:
        """Add an entry, and return its text."""
        return (await ledger.add(data.text)).text

    @post("/cookies", idempotent=True)
    async def add_with_cookies(self, ledger: LedgerService) -> Response[None]:
        """Add an entry, and set a cookie."""
        await ledger.add("cookie")
        return Response(content=None, cookies=[Cookie("a", "1", max_age_seconds=5)])

    @post("/nothing", idempotent=True)
    async def add_nothing(self, ledger: LedgerService) -> None:
        """Add an entry, and return nothing."""
        await ledger.add("nothing")


def build(settings: Settings) -> App:
    async def authenticate(token: str) -> Actor:
        return Actor(ADA if token == "ada" else GRACE, "customer", ADA)

    feature = Feature(controllers=[Ledger], services=[LedgerService])
    return Restwell(settings, name="ledger").app([Version("/v1", [feature])], authenticate=authenticate)


@pytest.fixture
def settings(tiny_settings: Settings, empty_url: str) -> Settings:
    return tiny_settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(empty_url))})


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        await Migrations().upgrade(opened)
        yield opened


@pytest.fixture
async def client(settings: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with database.transaction() as tx:
        identity = "GENERATED ALWAYS AS IDENTITY" if database.dialect == "postgresql" else ""
        await tx.run_script(f"CREATE TABLE ledger (id INTEGER {identity} PRIMARY KEY, text TEXT)")
    faults.clear()
    async with running(build(settings)) as started:
        yield started


async def add(
    client: httpx.AsyncClient, key: str = "k", text: str = "x", who: str = "ada", path: str = "/v1/ledger"
) -> httpx.Response:
    headers = {"authorization": f"Bearer {who}", "idempotency-key": key}
    return await client.post(path, json={"text": text}, headers=headers)


async def entries(database: Database) -> int:
    return await database.one(count)


def summary(answer: httpx.Response) -> tuple[object, ...]:
    return answer.status_code, answer.content, answer.headers["location"], answer.headers["x-by"]


async def test_a_repeated_request_gets_the_whole_stored_response(client: httpx.AsyncClient, database: Database) -> None:
    """Breaks when only the body is stored: a replay then has the default status and headers."""
    first, *more = [await add(client) for _ in range(3)]
    assert summary(first) == (202, b'{"id":1,"text":"x"}', "/v1/ledger/1", str(ADA))
    assert "idempotent-replayed" not in first.headers
    for again in more:
        assert summary(again) == summary(first)
        assert again.headers["idempotent-replayed"] == "true"
    assert await entries(database) == 1
    metrics = (await client.get("/metrics")).text
    assert 'restwell_idempotency_replays_total{method="POST",route="/v1/ledger"} 2.0' in metrics


async def test_an_idempotency_key_belongs_to_one_request_of_one_caller(
    client: httpx.AsyncClient, database: Database
) -> None:
    """Breaks when path, query or caller are not part of the key."""
    await add(client, path="/v1/ledger/1/copies")
    assert_problem(await add(client, path="/v1/ledger/1/copies?to=2"), 422, "idempotency_key_reused")
    assert_problem(await add(client, path="/v1/ledger/2/copies"), 422, "idempotency_key_reused")
    assert_problem(await add(client), 422, "idempotency_key_reused")
    assert (await add(client, who="grace")).status_code == 202
    assert (await add(client, path="/v1/ledger/1/copies")).headers["idempotent-replayed"] == "true"
    assert await entries(database) == 2


async def test_an_idempotency_key_belongs_to_one_query(client: httpx.AsyncClient, database: Database) -> None:
    """Breaks when the query is not part of the key: a request with another query received the first response."""
    assert (await add(client, path="/v1/ledger?to=1")).status_code == 202
    assert (await add(client, path="/v1/ledger?to=1")).headers["idempotent-replayed"] == "true"
    for other in ("/v1/ledger?to=2", "/v1/ledger", "/v1/ledger?to=1&to=2", "/v1/ledger?"):
        assert_problem(await add(client, path=other), 422, "idempotency_key_reused")
    assert await entries(database) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
async def test_a_request_without_a_valid_idempotency_key_has_no_effect(
    client: httpx.AsyncClient, database: Database, key: str
) -> None:
    assert_problem(await add(client, key=key), 400, "idempotency_key_required")
    assert await entries(database) == 0


async def test_a_failed_request_has_no_effect_and_its_key_may_be_used_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    """Breaks when the key is claimed in a separate transaction: it is then never released."""
    faults.extend([ValueError("a failure"), Conflict()])
    assert [(await add(client)).status_code for _ in range(3)] == [409, 500, 202]
    assert await entries(database) == 1


async def test_a_transaction_conflict_runs_the_whole_request_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    faults.append(TransactionConflict())
    assert (await add(client)).status_code == 202
    assert await entries(database) == 1


async def test_concurrent_requests_with_one_key_have_one_effect(client: httpx.AsyncClient, database: Database) -> None:
    """Breaks when the key is looked up before it is claimed."""
    answers = await asyncio.gather(*(add(client) for _ in range(20)))
    assert {summary(answer) for answer in answers} == {summary(answers[0])}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await entries(database) == 1


async def test_a_response_stored_by_the_previous_release_is_replayed(
    client: httpx.AsyncClient, database: Database
) -> None:
    """That release stored no target, status and headers; the new columns have defaults."""
    first = await add(client)
    assert await database.run(forget_the_rest) == 1
    again = await add(client)
    assert (again.status_code, again.content) == (201, first.content)


async def test_a_handler_that_fails_halfway_has_no_effect_at_all(client: httpx.AsyncClient, database: Database) -> None:
    """Breaks when the transactions of the service are committed one by one."""
    faults.append(ValueError("a failure after the first copy"))
    assert (await add(client, path="/v1/ledger/1/copies?to=2")).status_code == 500
    assert await entries(database) == 0
    assert (await add(client, path="/v1/ledger/1/copies?to=2")).status_code == 200
    assert await entries(database) == 2


async def test_a_response_without_a_body_is_replayed(client: httpx.AsyncClient, database: Database) -> None:
    for replayed in (None, "true"):
        answer = await add(client, path="/v1/ledger/nothing")
        assert (answer.status_code, answer.content, answer.headers.get("idempotent-replayed")) == (204, b"", replayed)
    assert await entries(database) == 1


async def test_a_replayed_response_has_the_media_type_of_the_first(client: httpx.AsyncClient) -> None:
    """Breaks when each is sent as JSON."""
    for replayed in (None, "true"):
        answer = await add(client, path="/v1/ledger/text")
        assert (answer.text, answer.headers["content-type"]) == ("x", "text/plain; charset=utf-8")
        assert answer.headers.get("idempotent-replayed") == replayed


async def test_a_cookie_is_not_stored(client: httpx.AsyncClient, database: Database) -> None:
    """Breaks without the check: a repeated request would get it, and of two cookies one is lost."""
    assert_problem(await add(client, path="/v1/ledger/cookies"), 500, "internal_error")
    assert await entries(database) == 0


async def test_an_invalid_body_claims_no_key(client: httpx.AsyncClient, database: Database) -> None:
    headers = {"authorization": "Bearer ada", "idempotency-key": "k"}
    assert_problem(await client.post("/v1/ledger", json={"text": 5}, headers=headers), 422, "invalid")
    assert (await add(client)).status_code == 202
    assert await entries(database) == 1
