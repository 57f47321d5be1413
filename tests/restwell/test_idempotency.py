"""Idempotency keys on PostgreSQL, where two requests with one key may really be under way together."""

import asyncio
from uuid import UUID

import pytest

from restwell.database import Database, open_database
from restwell.idempotency import IdempotencyKeyInFlight, StoredResponse
from shop.orders.models import idempotency

CALLER = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def once(database: Database, seconds: float) -> bytes:
    async def effect() -> StoredResponse:
        await asyncio.sleep(seconds)
        return StoredResponse(201, {}, b"done")

    async with database.transaction() as tx:
        return (await idempotency.execute_once(tx, CALLER, "key", "POST /v1/orders", b"x", effect)).body


async def test_a_repeated_request_waits_for_the_first_and_times_out(database_url: str) -> None:
    async with open_database(database_url, timeout_seconds=0.75) as database:
        first = asyncio.create_task(once(database, 1.5))
        await asyncio.sleep(0.3)
        with pytest.raises(IdempotencyKeyInFlight):
            await once(database, 0)
        assert await first == b"done"
        assert await once(database, 0) == b"done"
