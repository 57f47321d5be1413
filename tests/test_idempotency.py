"""Idempotency keys without a web framework: the operation calls a service, which opens its own transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from restwell.database import Database, Migrations, TransactionConflict, open_database, param, query
from restwell.idempotency import (
    REPLAYED_HEADER,
    IdempotencyKeyInFlight,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    StoredResponse,
    delete_keys_before,
    execute_once,
)

ADA, GRACE = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"), UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b6")
ledger = Table("ledger", MetaData(), Column("id", Integer, primary_key=True), Column("text", Text))
write = query("ledger.write", insert(ledger).values(text=param("text")).returning(ledger.c.id), into=int)
texts = query("ledger.texts", select(ledger.c.text).order_by(ledger.c.id).limit(100), into=str)


class Ledger:
    """A service."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.faults: list[Exception] = []

    async def add(self, text: str) -> int:
        async with self.database.transaction() as tx:
            number = await tx.one(write, text=text)
        if self.faults:
            raise self.faults.pop()
        return number

    async def request(
        self, key: str | None = "k", text: str = "x", caller: UUID = ADA, target: str = "POST /ledger"
    ) -> StoredResponse:
        async def operation() -> StoredResponse:
            return StoredResponse(201, {"location": f"/ledger/{await self.add(text)}"}, text.encode())

        return await execute_once(self.database, caller, key, target, text.encode(), operation)

    async def texts(self) -> list[str]:
        return await self.database.all(texts)


@pytest.fixture
async def service(empty_url: str) -> AsyncIterator[Ledger]:
    async with open_database(empty_url, timeout_seconds=3) as database:
        await Migrations().upgrade(database)
        async with database.transaction() as tx:
            identity = "GENERATED ALWAYS AS IDENTITY" if database.dialect == "postgresql" else ""
            await tx.run_script(f"CREATE TABLE ledger (id INTEGER {identity} PRIMARY KEY, text TEXT)")
        yield Ledger(database)


async def test_a_service_that_opens_its_own_transaction_runs_once_for_a_key(service: Ledger) -> None:
    """Breaks when the response is not stored, or without its headers."""
    first, again = await service.request(), await service.request()
    assert first == StoredResponse(201, {"location": "/ledger/1"}, b"x")
    assert again == StoredResponse(201, {"location": "/ledger/1", REPLAYED_HEADER: "true"}, b"x", replayed=True)
    assert await service.texts() == ["x"]


async def test_an_operation_that_fails_after_its_service_has_returned_saves_nothing(service: Ledger) -> None:
    """Breaks when the transaction is not ambient: the service commits, and the retry has a second effect."""
    service.faults.append(ValueError("a failure"))
    with pytest.raises(ValueError, match="a failure"):
        await service.request()
    assert await service.texts() == []
    assert not (await service.request()).replayed
    assert await service.texts() == ["x"]


async def test_an_operation_runs_again_after_a_transaction_conflict(service: Ledger) -> None:
    service.faults += [TransactionConflict(), TransactionConflict()]
    assert (await service.request()).status == 201
    assert await service.texts() == ["x"]


async def test_a_key_belongs_to_one_request_of_one_caller(service: Ledger) -> None:
    await service.request()
    for differs in (service.request(text="y"), service.request(target="POST /other")):
        with pytest.raises(IdempotencyKeyReused):
            await differs
    assert not (await service.request(caller=GRACE)).replayed
    assert await service.texts() == ["x", "x"]


@pytest.mark.parametrize("key", [None, "", "k" * 256, "a\tb"])
async def test_an_operation_without_a_valid_key_does_not_run(service: Ledger, key: str | None) -> None:
    with pytest.raises(IdempotencyKeyRequired):
        await service.request(key)
    assert await service.texts() == []


async def test_concurrent_requests_with_one_key_have_one_effect(service: Ledger) -> None:
    answers = await asyncio.gather(*(service.request() for _ in range(10)))
    assert sum(not answer.replayed for answer in answers) == 1
    assert {(answer.status, answer.body) for answer in answers} == {(201, b"x")}
    assert await service.texts() == ["x"]


async def test_a_batch_of_old_keys_is_deleted(service: Ledger) -> None:
    await service.request()
    now = datetime.now(UTC)
    assert await delete_keys_before(service.database, now - timedelta(seconds=60)) == 0
    assert await delete_keys_before(service.database, now + timedelta(seconds=1)) == 1
    assert not (await service.request()).replayed


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_request_with_a_key_in_flight_waits_and_times_out(service: Ledger) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> StoredResponse:
        began.set()
        await ended.wait()
        return StoredResponse(201, {}, b"done")

    def request(operation: Callable[[], Awaitable[StoredResponse]]) -> Awaitable[StoredResponse]:
        return execute_once(service.database, ADA, "key", "POST /slow", b"", operation)

    first = asyncio.ensure_future(request(slow))
    await began.wait()
    with pytest.raises(IdempotencyKeyInFlight):
        await request(slow)
    ended.set()
    assert (await first).body == (await request(slow)).body == b"done"
