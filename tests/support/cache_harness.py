"""A database with a few rows, and several caches of them, each like the cache of a separate process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, select, update

from restwell.cache import Cache
from restwell.cache._store import Store
from restwell.database import Database, Migrations, Transaction, open_database, param, query

TAG = "counter:1"
TABLES = (
    "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT INTO counters VALUES (1, 0), (2, 0), (3, 0)",
)
counters = Table("counters", MetaData(), Column("id", Integer, primary_key=True), Column("value", Integer))
read_value = query("counters.read", select(counters.c.value).where(counters.c.id == param("id")), into=int)
set_value = query(
    "counters.set", update(counters).where(counters.c.id == param("match_id")).values(value=param("number"))
)


@asynccontextmanager
async def harness_database(folder: Path) -> AsyncIterator[Database]:
    """Opens ``harness.db`` in the folder, with its tables and rows."""
    async with open_database(f"sqlite:///{folder / 'harness.db'}") as database:
        await Migrations().upgrade(database)
        async with database.transaction() as tx:
            for statement in TABLES:
                await tx.run_script(statement)
        yield database


class Value(Struct, frozen=True):
    number: int


class CacheHarness:
    """Caches of one value. ``loads`` counts the reads from the database."""

    def __init__(self, database: Database, new_store: Callable[[], Store]) -> None:
        self.database = database
        self.new_store = new_store
        self.loads = 0
        self.stores: dict[Cache, Store] = {}

    async def cache(self, **options: Any) -> Cache:
        store = self.new_store()
        cache = Cache(store, **{"max_bytes": 1_000_000, **options})
        await cache.start()
        self.stores[cache] = store
        return cache

    async def load(self) -> Value:
        self.loads += 1
        return Value(await self.database.one(read_value, id=1))

    async def get(
        self, cache: Cache, load: Callable[[], Awaitable[Value]] | None = None, ttl_seconds: float = 60
    ) -> int:
        value = await cache.get_or_load(TAG, load or self.load, kind=Value, tags=[TAG], ttl_seconds=ttl_seconds)
        return value.number

    async def set(self, cache: Cache, number: int) -> None:
        async with self.database.transaction() as tx:
            await self.set_in(tx, cache, number)

    async def set_in(self, tx: Transaction, cache: Cache, number: int) -> None:
        await tx.run(set_value, match_id=1, number=number)
        cache.invalidate(tx, TAG)


class Gate:
    """Blocks a load after it has read its value and before it returns, so that a write can commit in between."""

    def __init__(self, harness: CacheHarness) -> None:
        self._harness = harness
        self.has_read = asyncio.Event()
        self.opened = asyncio.Event()

    async def load(self) -> Value:
        value = await self._harness.load()
        self.has_read.set()
        await self.opened.wait()
        return value


async def wait_until_cached(harness: CacheHarness, cache: Cache, within: float = 5) -> float:
    """Return the seconds until one of two consecutive reads is a cache hit."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        before = harness.loads
        await harness.get(cache)
        await harness.get(cache)
        if harness.loads < before + 2:
            return time.monotonic() - began
        await asyncio.sleep(0.1)
    raise AssertionError(f"not cached again within {within} s")
