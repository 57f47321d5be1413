"""Reads that a write or another load overtakes, on each kind of store."""

import asyncio

from cache_harness import TAG, CacheHarness, Value
from restwell.cache._memory import Entry
from restwell.cache._metrics import CacheStats
from restwell.cache._store import Generations


async def test_a_read_after_a_write_does_not_join_a_load_that_has_read_an_older_value(harness: CacheHarness) -> None:
    """Fails if a read joins a load because the generations of its tags are equal: the load may depend on others."""
    cache = await harness.cache()
    has_read, opened = asyncio.Event(), asyncio.Event()

    async def load() -> Value:
        number = await harness.get(cache)
        if not has_read.is_set():
            has_read.set()
            await opened.wait()
        return Value(2 * number)

    async def get() -> int:
        return (await cache.get_or_load("doubled", load, kind=Value, tags=["other"], ttl_seconds=60)).number

    slow = asyncio.create_task(get())
    await has_read.wait()
    earlier = asyncio.create_task(get())
    await asyncio.sleep(0.1)
    await harness.set(cache, 1)
    fresh = asyncio.create_task(get())
    await asyncio.sleep(0.1)
    opened.set()
    assert [await slow, await fresh] == [0, 2]
    assert await earlier in {0, 2}
    assert await get() == 2


async def test_reads_share_a_load_whose_value_is_made_of_cached_values(harness: CacheHarness) -> None:
    """Fails if no read joins such a load: each would load the value."""
    cache = await harness.cache()
    loads = 0

    async def load() -> Value:
        nonlocal loads
        loads += 1
        return Value(await harness.get(cache))

    values = await asyncio.gather(
        *(cache.get_or_load("outer", load, kind=Value, tags=[], ttl_seconds=60) for _ in range(50))
    )
    assert (set(values), loads, harness.loads) == ({Value(0)}, 1, 1)


async def test_a_value_that_replaces_another_during_its_check_is_not_served(harness: CacheHarness) -> None:
    """Fails if the value is returned that is in memory after the check. Only Redis is asked for a check."""
    cache = await harness.cache()
    await harness.get(cache)
    outdated = await harness.stores[cache].generations([TAG])
    await harness.set(cache, 1)
    assert await harness.get(cache) == 1
    store = harness.stores[cache]
    is_current = store.is_current

    async def slowly(generations: Generations) -> bool:
        checked = await is_current(generations)
        late = Entry(TAG, Value(0), tuple(each for each in outdated if each is not None), 1, 9e9, 9e9, CacheStats())
        cache._memory.put(late)  # of a load that began before the write
        return checked

    store.is_current = slowly  # type: ignore[method-assign]  # a load ends meanwhile
    assert await harness.get(cache) == 1
