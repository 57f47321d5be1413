"""Idempotency keys on PostgreSQL, where two requests with one key can run concurrently."""

import asyncio
from uuid import UUID

import pytest

from restwell.database import Database, Migrations, open_database
from restwell.idempotency import IdempotencyKeyInFlight, StoredResponse, execute_once

USER_ID = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def add_entry(database: Database, seconds: float) -> bytes:
    async def operation() -> StoredResponse:
        await asyncio.sleep(seconds)
        return StoredResponse(201, {}, b"done")

    async with database.transaction() as tx:
        return (await execute_once(tx, USER_ID, "key", "POST /v1/entries", b"x", operation)).body


async def test_a_request_with_a_key_in_flight_waits_and_times_out(empty_url: str) -> None:
    async with open_database(empty_url, timeout_seconds=0.75) as database:
        await Migrations().upgrade(database)
        first = asyncio.create_task(add_entry(database, 1.5))
        await asyncio.sleep(0.3)
        with pytest.raises(IdempotencyKeyInFlight):
            await add_entry(database, 0)
        assert await first == b"done"
        assert await add_entry(database, 0) == b"done"
