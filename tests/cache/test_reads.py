"""Values that are made of other cached values, on each kind of store."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cache_harness import TAG, CacheHarness, Value, set_value
from restwell.cache import Cache
from restwell.errors import NotFound


class Doubled:
    """Twice the value of the harness. Its own tag is never written to. ``loads`` counts how often it was made."""

    def __init__(self, harness: CacheHarness) -> None:
        self._harness = harness
        self.loads = 0

    async def get(self, cache: Cache, read: Callable[[], Awaitable[int]] | None = None) -> int:
        async def load() -> Value:
            self.loads += 1
            return Value(2 * await (read or (lambda: self._harness.get(cache)))())

        value = await cache.get_or_load("doubled", load, kind=Value, tags=["other"], ttl_seconds=600)
        return value.number


@pytest.fixture
def doubled(harness: CacheHarness) -> Doubled:
    return Doubled(harness)


async def test_a_value_is_outdated_with_each_value_that_it_was_made_of(
    harness: CacheHarness, doubled: Doubled, kind: str
) -> None:
    """Fails if a value has the generations of its own tags only, in memory or in the store."""
    one, two = await harness.cache(), await harness.cache()
    for number in range(3):
        assert [await doubled.get(cache) for cache in (one, one, two, two)] == [2 * number] * 4
        assert doubled.loads == number + 1
        await harness.set(two, number + 1)
        await asyncio.sleep(1.05 if kind == "bounded" else 0)


async def test_a_value_is_outdated_with_the_rows_that_it_was_made_of(harness: CacheHarness, doubled: Doubled) -> None:
    """Fails if the rows are not noted, or only those that had to be loaded."""
    cache = await harness.cache()

    async def total() -> int:
        rows = await cache.get_or_load_each(
            [1, 2], lambda _: harness.load(), tag=lambda row_id: f"{TAG}:{row_id}", ttl_seconds=60
        )
        return sum(row.number for row in rows)

    for row_id in (1, 2, 1):
        assert [await doubled.get(cache, total), await doubled.get(cache, total)] == [0, 0]
        loads = doubled.loads
        await cache.invalidate_now(f"{TAG}:{row_id}")
        await doubled.get(cache, total)
        assert doubled.loads == loads + 1


async def test_a_row_is_outdated_with_each_value_that_it_was_made_of(harness: CacheHarness) -> None:
    cache = await harness.cache()

    async def load(_: int) -> Value:
        return Value(2 * await harness.get(cache))

    async def get() -> list[Value]:
        return await cache.get_or_load_each([1], load, tag=str, ttl_seconds=60)

    assert [await get(), await get()] == [[Value(0)]] * 2
    await harness.set(cache, 1)
    assert await get() == [Value(2)]


async def test_a_value_is_not_cached_during_a_write_to_what_it_is_made_of(
    harness: CacheHarness, doubled: Doubled
) -> None:
    """Fails if a read that bypasses the cache is not noted: nothing would invalidate the value."""
    one, two = await harness.cache(), await harness.cache()
    store = harness.stores[one]
    async with harness.database.transaction() as tx:
        await tx.run(set_value, match_id=1, number=1)
        write = await store.begin_write(tx, [TAG])
        assert [await doubled.get(cache) for cache in (one, one, two)] == [0, 0, 0]
        assert doubled.loads == 3
    await store.end_write(write)
    assert [await doubled.get(cache) for cache in (one, one)] == [2, 2]
    assert doubled.loads == 4


async def test_a_value_expires_with_the_first_value_that_it_was_made_of(
    harness: CacheHarness, doubled: Doubled
) -> None:
    """Fails if only its own TTL counts: a change of another program would be seen after the sum of both."""
    cache = await harness.cache()
    await doubled.get(cache)
    outer, inner = cache._memory.get("doubled"), cache._memory.get(TAG)
    assert outer is not None
    assert inner is not None
    assert outer.expires_at <= inner.expires_at


async def test_a_value_that_is_made_of_one_that_is_not_cached_is_not_cached(
    harness: CacheHarness, doubled: Doubled
) -> None:
    """Fails if the value of another cache, of a transaction, or with a TTL of 0 is taken for a cached one."""
    cache, other = await harness.cache(), await harness.cache()

    async def in_transaction() -> int:
        async with harness.database.transaction(ambient=True):
            return await harness.get(cache)

    async def rows_in_transaction() -> int:
        async with harness.database.transaction(ambient=True):
            rows = await cache.get_or_load_each([1], lambda _: harness.load(), tag=str, ttl_seconds=60)
            return rows[0].number

    for read in (
        lambda: harness.get(cache, ttl_seconds=0),
        lambda: harness.get(other),
        in_transaction,
        rows_in_transaction,
    ):
        doubled.loads = 0
        assert [await doubled.get(cache, read), await doubled.get(cache, read)] == [0, 0]
        assert doubled.loads == 2


async def test_a_value_that_is_made_of_an_error_is_not_cached(harness: CacheHarness, doubled: Doubled) -> None:
    """Fails if an error is not noted: a write that ends it would not invalidate the value."""
    cache = await harness.cache()

    async def fail(*_: object) -> Value:
        raise NotFound

    async def one() -> int:
        try:
            return await harness.get(cache, fail)
        except NotFound:
            return -1

    async def each() -> int:
        try:
            return len(await cache.get_or_load_each([1], fail, tag=str, ttl_seconds=60))
        except NotFound:
            return -1

    for read in (one, each):
        doubled.loads = 0
        assert [await doubled.get(cache, read), await doubled.get(cache, read)] == [-2, -2]
        assert doubled.loads == 2
    assert await doubled.get(cache) == 0
