"""What a cache promises, on either store: fresh whatever happens meanwhile, one load for all, room for what is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update

from restwell.cache import Cache, MachineStore, Outage, RedisStore, outage_tables
from restwell.database import Database, open_database, param, query
from restwell.ids import new_id

metadata = MetaData()
counters = Table(
    "counters", metadata, Column("id", Integer, primary_key=True), Column("value", Integer, nullable=False)
)
outage_tables(metadata)

read_value = query("counters.read", select(counters.c.value).where(counters.c.id == param("id")), into=int)
set_value = query(
    "counters.set", update(counters).where(counters.c.id == param("its_id")).values(value=param("new_value"))
)


class Value(Struct, frozen=True):
    number: int


class Rig:
    """A database with one row, and any number of caches over it, each as in a process of its own."""

    def __init__(self, database: Database, new_cache: Callable[..., Cache]) -> None:
        self.database = database
        self._new_cache = new_cache
        self.loads = 0
        self.caches: list[Cache] = []

    async def cache(self, **options: object) -> Cache:
        cache = self._new_cache(**options)
        await cache.start()
        self.caches.append(cache)
        return cache

    async def load(self) -> Value:
        self.loads += 1
        return Value(await self.database.one(read_value, id=1))

    async def get(
        self, cache: Cache, load: Callable[[], Awaitable[Value]] | None = None, ttl_seconds: float = 60
    ) -> int:
        value = await cache.get_or_load(
            "counter:1", load or self.load, kind=Value, tags=["counter:1"], ttl_seconds=ttl_seconds
        )
        return value.number

    async def set(self, cache: Cache, number: int) -> None:
        async with self.database.transaction() as tx:
            await tx.run(set_value, its_id=1, new_value=number)
            cache.invalidate(tx, "counter:1")


@pytest.fixture(params=["machine", "redis strict", "redis bounded"])
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def rig(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    name = new_id().hex
    redis_url = request.getfixturevalue("redis_url") if store != "machine" else ""
    async with open_database(f"sqlite:///{tmp_path / 'rig.db'}") as database:
        async with database.migration() as tx:
            await tx.run_script("CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
            await tx.run_script("INSERT INTO counters VALUES (1, 0)")
            await tx.run_script("CREATE TABLE cache_outage (number INTEGER PRIMARY KEY, since TEXT)")
            await tx.run_script("INSERT INTO cache_outage VALUES (1, NULL)")
            await tx.run_script("CREATE TABLE cache_pending (id BLOB PRIMARY KEY, tag TEXT, noted_at TEXT)")

        def new_cache(**options: object) -> Cache:
            if store == "machine":
                level_two = MachineStore(tmp_path / "cache", 1_000_000)
            else:
                level_two = RedisStore(redis_url, name, Outage(database), strict=store == "redis strict")
            return Cache(level_two, **{"max_bytes": 1_000_000, **options})

        rig = Rig(database, new_cache)
        yield rig
        for cache in rig.caches:
            await cache.close()


async def test_a_value_is_read_once(rig: Rig) -> None:
    one, two = await rig.cache(), await rig.cache()
    assert [await rig.get(one), await rig.get(one), await rig.get(two), await rig.get(two)] == [0, 0, 0, 0]
    assert rig.loads == 1


async def test_a_write_is_seen_by_the_next_read(rig: Rig) -> None:
    one, two = await rig.cache(), await rig.cache()
    for number in range(1, 10):
        await rig.get(one)
        await rig.set(one, number)
        assert await rig.get(one) == number
