"""The Redis store during restarts, hangs, partitions and failovers: no stale value is served."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cache_harness import TAG, CacheHarness, harness_database, set_value, wait_until_cached
from restwell._redis import connect
from restwell.cache import Cache
from restwell.cache._redis import RedisStore
from restwell.cache._store import Store
from restwell.cache._suspension import TRUST_SECONDS, CacheSuspension
from restwell.database import Database, open_database
from restwell.errors import ConfigurationError
from restwell.testing import FaultProxy
from servers import RedisServer, redis_program, redis_server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(redis_program() is None, reason="needs a server that is not on this machine: Redis"),
]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with harness_database(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def open_harness(
    database: Database, *urls: str, strict: bool = True
) -> AsyncIterator[tuple[CacheHarness, list[Cache]]]:
    """One cache per URL: nodes that reach the same Redis over different routes."""
    stores: Iterator[Store] = iter([RedisStore(url, "test", CacheSuspension(database), strict=strict) for url in urls])
    harness = CacheHarness(database, lambda: next(stores))
    try:
        yield harness, [await harness.cache() for _ in urls]
    finally:
        for cache in harness.stores:
            await cache.close()


async def test_a_redis_restarted_from_an_old_snapshot_is_not_trusted(database: Database, server: RedisServer) -> None:
    """Breaks when keys do not begin with the run id: the old generation and the old value are restored together."""
    async with open_harness(database, server.url) as (harness, (cache,)):
        assert await harness.get(cache) == 0
        async with Redis.from_url(server.url) as admin:
            await admin.save()
        await harness.set(cache, 1)
        server.kill()
        server.start()
        assert await harness.get(cache) == 1
        await wait_until_cached(harness, cache)
        assert await harness.get(cache) == 1


async def test_a_redis_restarted_during_a_write_serves_no_value_from_before_it(
    database: Database, server: RedisServer
) -> None:
    """Breaks when end_write does not change the generation although begin_write was lost."""
    async with open_harness(database, server.url, server.url) as (harness, (one, two)):
        async with database.transaction() as tx:
            await tx.run(set_value, match_id=1, number=1)
            write = await harness.stores[one].begin_write(tx, [TAG])
            server.kill()
            server.start()
            await wait_until_cached(harness, two)
            assert await harness.get(two) == 0
        await harness.stores[one].end_write(write)
        assert [await harness.get(two), await harness.get(one)] == [1, 1]


async def test_a_redis_that_hangs_delays_one_read_by_half_a_second(database: Database, server: RedisServer) -> None:
    """Breaks when the store keeps sending commands: every read waits for a timeout."""
    async with open_harness(database, server.url) as (harness, (cache,)):
        await harness.get(cache)
        server.freeze()
        began = time.monotonic()
        assert await harness.get(cache) == 0
        assert time.monotonic() - began < 1.5
        began = time.monotonic()
        for _ in range(20):
            assert await harness.get(cache) == 0
        assert time.monotonic() - began < 0.5
        server.thaw()
        assert await wait_until_cached(harness, cache) < 4


async def test_concurrent_reads_share_loads_while_redis_is_down(database: Database, server: RedisServer) -> None:
    """Breaks when each read loads for itself: reads during a load share the next one."""
    async with open_harness(database, server.url) as (harness, (cache,)):
        server.kill()
        await harness.get(cache)
        before = harness.loads
        assert set(await asyncio.gather(*(harness.get(cache) for _ in range(200)))) == {0}
        assert harness.loads - before <= 2
        server.start()


async def test_a_connected_node_sees_a_write_that_did_not_reach_redis(database: Database, server: RedisServer) -> None:
    """Breaks when a write is acknowledged before every node has seen the suspension."""
    async with FaultProxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with open_harness(database, url, server.url) as (harness, (cut_off, connected)):
            assert [await harness.get(cut_off), await harness.get(connected)] == [0, 0]
            proxy.stall()
            await harness.set(cut_off, 1)
            assert [await harness.get(connected), await harness.get(cut_off)] == [1, 1]
            began = time.monotonic()
            for number in range(2, 12):
                await harness.set(cut_off, number)
                assert [await harness.get(connected), await harness.get(cut_off)] == [number, number]
            assert time.monotonic() - began < TRUST_SECONDS, "only the first write waits"
            proxy.resume()
            assert await wait_until_cached(harness, cut_off) < 5
            assert [await harness.get(connected), await harness.get(cut_off)] == [11, 11]
            assert await wait_until_cached(harness, connected) < 5
            await harness.set(cut_off, 12)
            assert await harness.get(connected) == 12


async def test_a_write_whose_end_did_not_reach_redis_is_recorded_in_the_database(
    database: Database, server: RedisServer
) -> None:
    """Breaks when end_write records nothing: Redis may return as another server without a record of the write."""
    async with FaultProxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with open_harness(database, url, server.url) as (harness, (cut_off, connected)):
            async with database.transaction() as tx:
                await tx.run(set_value, match_id=1, number=1)
                write = await harness.stores[cut_off].begin_write(tx, [TAG])
                server.kill()
                server.start()
                await wait_until_cached(harness, connected)
                proxy.stall()
            await harness.stores[cut_off].end_write(write)
            assert await harness.get(connected) == 1
            proxy.resume()
            await wait_until_cached(harness, connected)
            assert await harness.get(connected) == 1


@pytest.mark.usefixtures("database")
async def test_a_node_without_its_database_soon_stops_trusting_redis(server: RedisServer, tmp_path: Path) -> None:
    """Breaks when trust does not expire. In bounded mode a node continues to use the cache."""
    for strict in (True, False):
        async with open_database(f"sqlite:///{tmp_path / 'harness.db'}") as own:
            store = RedisStore(server.url, "test", CacheSuspension(own), strict=strict)
            await store.start()
            assert store.available
            await own.close()
            await asyncio.sleep(TRUST_SECONDS + 0.6)
            assert store.available is not strict
            await store.close()


async def test_missing_cache_tables_are_named_at_start(server: RedisServer, tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'empty.db'}") as empty:
        with pytest.raises(ConfigurationError, match="cache_suspension"):
            await RedisStore(server.url, "test", CacheSuspension(empty), strict=True).start()


async def test_a_node_starts_without_redis_and_uses_it_later(database: Database, server: RedisServer) -> None:
    server.kill()
    async with open_harness(database, server.url) as (harness, (cache,)):
        assert [await harness.get(cache), await harness.get(cache), harness.loads] == [0, 0, 2]
        server.start()
        assert await wait_until_cached(harness, cache) < 3


@pytest.mark.parametrize(
    "url", ["http://redis", "redis+cluster://", "redis+sentinel://host:1", "redis+cluster://host/service", "redis"]
)
def test_an_unknown_redis_url_is_refused(url: str) -> None:
    async def on_connect(_: object) -> None: ...

    with pytest.raises(ValueError, match="must be one of"):
        connect(url, on_connect)
