"""Caching the value that a transaction has written."""

from cache_harness import TAG, CacheHarness, Value, set_value
from restwell.cache import Cache


async def write_through(harness: CacheHarness, cache: Cache, number: int) -> None:
    async with harness.database.transaction() as tx:
        await tx.run(set_value, match_id=1, number=number)
        cache.write(tx, TAG, Value(number), kind=Value, tags=[TAG], ttl_seconds=60)


async def test_a_writer_caches_what_it_has_written(harness: CacheHarness) -> None:
    """Breaks when the deferred sets do not run."""
    one, two = await harness.cache(), await harness.cache()
    await write_through(harness, one, 1)
    assert [await harness.get(one), await harness.get(two), harness.loads] == [1, 1, 0]


async def test_concurrent_writers_cache_nothing(harness: CacheHarness) -> None:
    """Breaks when end_write does not report that another write overlapped."""
    one, two = await harness.cache(), await harness.cache()
    async with harness.database.transaction() as tx:
        before = await harness.stores[two].begin_write(tx, [TAG])
    await write_through(harness, one, 1)
    await harness.stores[two].end_write(before)
    await harness.get(two)
    assert harness.loads == 1
