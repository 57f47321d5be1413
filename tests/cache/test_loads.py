"""Loads are limited in number and time, and shared by callers."""

import asyncio

import pytest

from cache_harness import CacheHarness, Gate, Value
from restwell.cache import TooManyLoads
from restwell.cache import _loads as loads
from restwell.cache._loads import Loader
from restwell.errors import DeadlineExceeded


@pytest.mark.slow
async def test_loads_beyond_the_limit_are_refused(harness: CacheHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without the limit, or if a nested load waits for a second slot."""
    monkeypatch.setattr(loads, "MAX_CONCURRENT_LOADS", 1)
    cache = await harness.cache(load_timeout_seconds=2)
    gate = Gate(harness)

    async def nested() -> Value:
        await harness.get(cache)
        return await gate.load()

    slow = asyncio.create_task(
        cache.get_or_load("slow", nested, kind=Value, tags=["slow"], ttl_seconds=60),
    )
    await gate.has_read.wait()
    with pytest.raises(TooManyLoads):
        await cache.get_or_load("other", harness.load, kind=Value, tags=["other"], ttl_seconds=60)
    with pytest.raises(DeadlineExceeded):
        await slow
    assert (await cache.get_or_load("other", harness.load, kind=Value, tags=["other"], ttl_seconds=60)).number == 0


async def test_callers_during_a_load_share_the_next_one() -> None:
    """Breaks when a caller gets the load in progress, which may have read before its call, or one of its own."""
    loader, started, go = Loader(5), 0, asyncio.Event()

    async def load() -> int:
        nonlocal started
        started += 1
        number = started
        await go.wait()
        return number

    first = asyncio.create_task(loader.load_after_now("key", load))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(loader.load_after_now("key", load)) for _ in range(10)]
    another = asyncio.create_task(loader.load_after_now("another key", load))
    await asyncio.sleep(0.01)
    go.set()
    assert (await first, await another, {await other for other in others}) == (1, 2, {3})
    await loader.close()


async def test_a_load_outlives_its_cancelled_caller_and_ends_with_the_cache() -> None:
    """Breaks when the task of the load is that of its first caller, or when ``close`` leaves it running."""
    loader, ended = Loader(60), asyncio.Event()

    async def load() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    caller = asyncio.create_task(loader.load_after_now("key", load))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.sleep(0.01)
    assert caller.cancelled()
    assert not ended.is_set()
    await loader.close()
    assert ended.is_set()


async def test_a_load_that_takes_too_long_is_cancelled() -> None:
    """Breaks without the limit: a load that hangs would keep its slot."""
    loader = Loader(0.05)
    with pytest.raises(DeadlineExceeded):
        await loader.run(lambda: asyncio.sleep(60))
    assert (await loader.run(lambda: asyncio.sleep(0, "value")))[0] == "value"
