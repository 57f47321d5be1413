"""The guarantees of the cache on each kind of store.

A docstring names the defect with which the test was seen to fail.
"""

import asyncio
import time
from collections.abc import Sequence

import pytest
from msgspec import Struct

from cache_harness import TAG, CacheHarness, Gate, Value, set_value
from restwell.cache import Cache
from restwell.cache import _cache as module
from restwell.cache._store import StoreLookup
from restwell.cache._values import fingerprint
from restwell.database import DatabaseUnavailable
from restwell.observability._trace import Trace, current


async def test_a_cached_value_is_loaded_once(harness: CacheHarness) -> None:
    one, two = await harness.cache(), await harness.cache()
    assert [await harness.get(one), await harness.get(one), await harness.get(two), await harness.get(two)] == [
        0,
        0,
        0,
        0,
    ]
    assert harness.loads == 1


async def test_a_write_is_seen_by_the_next_read(harness: CacheHarness) -> None:
    """Breaks when begin_write does not change the generations."""
    cache = await harness.cache()
    for number in range(1, 10):
        await harness.get(cache)
        await harness.set(cache, number)
        assert await harness.get(cache) == number


async def test_a_write_is_seen_by_the_next_read_of_another_process(harness: CacheHarness, kind: str) -> None:
    """Breaks when is_current returns True without a check.

    In bounded mode the write may be seen MAX_STALENESS_SECONDS late.
    """
    one, two = await harness.cache(), await harness.cache()
    for number in (1, 2, 3):
        assert await harness.get(two) == number - 1
        await harness.set(one, number)
        if kind == "bounded":
            await asyncio.sleep(1.05)
        assert await harness.get(two) == number


async def test_an_ambient_transaction_reads_its_own_write_and_caches_nothing_uncommitted(harness: CacheHarness) -> None:
    """Breaks when get_or_load uses the cache inside: it returns the old value, and others are served the new one."""
    cache = await harness.cache()
    assert await harness.get(cache) == 0
    with pytest.raises(ZeroDivisionError):
        async with harness.database.transaction(ambient=True) as tx:
            await harness.set_in(tx, cache, 1)
            assert await harness.get(cache) == 1
            raise ZeroDivisionError
    assert await harness.get(cache) == 0


async def test_a_load_that_began_before_a_write_caches_no_stale_value(harness: CacheHarness, kind: str) -> None:
    """Breaks when the generations are read after the load instead of before it."""
    one, two, gate = await harness.cache(), await harness.cache(), Gate(harness)
    slow = asyncio.create_task(harness.get(one, gate.load))
    await gate.has_read.wait()
    await harness.set(two, 1)
    gate.opened.set()
    assert await slow == 0  # the read began before the write committed
    await asyncio.sleep(1.05 if kind == "bounded" else 0)
    assert [await harness.get(two), await harness.get(one)] == [1, 1]


async def test_a_read_after_a_write_does_not_join_a_load_from_before_it(harness: CacheHarness) -> None:
    """Breaks when a read joins a load in progress regardless of its generations."""
    cache, gate = await harness.cache(), Gate(harness)
    slow = asyncio.create_task(harness.get(cache, gate.load))
    await gate.has_read.wait()
    await harness.set(cache, 1)
    fresh = asyncio.create_task(harness.get(cache))
    await asyncio.sleep(0.1)
    gate.opened.set()
    assert [await fresh, await slow] == [1, 0]


async def test_nothing_is_cached_during_a_write(harness: CacheHarness) -> None:
    """Breaks when get returns generations during a write: a crash before end_write would leave the old value cached."""
    one, two = await harness.cache(), await harness.cache()
    async with harness.database.transaction() as tx:
        await tx.run(set_value, match_id=1, number=1)
        write = await harness.stores[one].begin_write(tx, [TAG])
        assert [await harness.get(cache) for cache in (two, two, one, one)] == [0, 0, 0, 0]
        assert harness.loads == 4
    assert [await harness.get(cache) for cache in (two, two)] == [1, 1]  # committed, before end_write
    await harness.stores[one].end_write(write)
    loads = harness.loads
    assert [await harness.get(cache) for cache in (two, two, one, one)] == [1, 1, 1, 1]
    assert harness.loads == loads + 1


async def test_a_tag_is_not_cached_until_its_last_write_has_ended(harness: CacheHarness) -> None:
    """Breaks when end_write removes all writers instead of its own."""
    one, two = await harness.cache(), await harness.cache()
    async with harness.database.transaction() as tx:
        first = await harness.stores[one].begin_write(tx, [TAG])
        second = await harness.stores[two].begin_write(tx, [TAG])
        third = await harness.stores[two].begin_write(tx, [TAG])
    await harness.stores[one].end_write(first)
    await harness.stores[two].end_write(second)
    assert [await harness.get(one), await harness.get(one), harness.loads] == [0, 0, 2]
    assert await harness.stores[two].end_write(third)
    assert [await harness.get(one), await harness.get(one), harness.loads] == [0, 0, 3]


async def test_concurrent_callers_share_one_load(harness: CacheHarness) -> None:
    """Breaks when reads do not join a load in progress: each would acquire a lease."""
    cache = await harness.cache()
    store = harness.stores[cache]
    acquire_lease, keys = store.acquire_lease, []

    async def counting(key: str, tags: Sequence[str]) -> tuple[bool, StoreLookup]:
        keys.append(key)
        return await acquire_lease(key, tags)

    store.acquire_lease = counting  # type: ignore[method-assign]  # counts
    assert set(await asyncio.gather(*(harness.get(cache) for _ in range(100)))) == {0}
    assert (harness.loads, len(keys)) == (1, 1)


@pytest.mark.slow
async def test_concurrent_processes_share_one_load(harness: CacheHarness, kind: str) -> None:
    """Breaks when acquire_lease always succeeds, or if the value is not read again after the lease was acquired."""
    caches = [await harness.cache() for _ in range(3)]

    async def slowly() -> Value:
        await asyncio.sleep(0.1)
        return await harness.load()

    for number in range(1, 6):
        responses = await asyncio.gather(*(harness.get(cache, slowly) for cache in caches for _ in range(50)))
        assert set(responses) == {number - 1}
        assert harness.loads == number
        await harness.set(caches[0], number)
        await asyncio.sleep(1.05 if kind == "bounded" else 0)


@pytest.mark.slow
async def test_processes_that_hold_an_expired_value_share_one_load(harness: CacheHarness) -> None:
    """Breaks when the new value of another process is not recognised as newer than the expired one."""
    caches = [await harness.cache() for _ in range(3)]

    async def slowly() -> Value:
        await asyncio.sleep(0.05)
        return await harness.load()

    for rounds in range(1, 4):
        await asyncio.gather(*(harness.get(cache, slowly, ttl_seconds=0.3) for cache in caches for _ in range(20)))
        assert harness.loads == rounds
        await asyncio.sleep(0.35)


@pytest.mark.slow
async def test_the_lease_of_a_dead_process_expires(harness: CacheHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when a lease does not expire."""
    monkeypatch.setattr("restwell.cache._local.LEASE_SECONDS", 0.3)
    monkeypatch.setattr("restwell.cache._redis.LEASE_SECONDS", 0.3)
    dead, cache = await harness.cache(), await harness.cache()
    assert (await harness.stores[dead].acquire_lease(f"{TAG}|{fingerprint(Value)}", [TAG]))[0]
    began = time.monotonic()
    assert await harness.get(cache) == 0
    assert 0.2 < time.monotonic() - began < 1.5
    assert [await harness.get(dead), harness.loads] == [0, 1]


@pytest.mark.slow
async def test_a_caller_does_not_wait_for_a_lease_held_too_long(
    harness: CacheHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when _acquire_lease waits without a limit."""
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.2)
    other, cache = await harness.cache(), await harness.cache()
    await harness.stores[other].acquire_lease(f"{TAG}|{fingerprint(Value)}", [TAG])
    assert [await harness.get(cache), harness.loads] == [0, 1]
    assert [await harness.get(cache), harness.loads] == [0, 2]  # loaded without the lease, so not cached


async def test_the_error_of_a_load_reaches_its_callers_and_is_not_cached(harness: CacheHarness) -> None:
    """Breaks when the lease is not released."""
    one, two = await harness.cache(), await harness.cache()

    async def fail() -> Value:
        await asyncio.sleep(0.01)
        raise DatabaseUnavailable

    responses = await asyncio.gather(*(harness.get(one, fail) for _ in range(5)), return_exceptions=True)
    assert {type(response) for response in responses} == {DatabaseUnavailable}
    began = time.monotonic()
    assert await harness.get(two) == 0
    assert time.monotonic() - began < 1


async def test_a_cancelled_caller_does_not_cancel_the_others(harness: CacheHarness) -> None:
    """Breaks when the load runs in the task of the first caller."""
    cache, gate = await harness.cache(), Gate(harness)
    first = asyncio.create_task(harness.get(cache, gate.load))
    await gate.has_read.wait()
    second = asyncio.create_task(harness.get(cache))
    await asyncio.sleep(0.05)
    first.cancel()
    gate.opened.set()
    assert await second == 0
    assert harness.loads == 1


@pytest.mark.slow
async def test_a_missing_value_is_cached_briefly_and_invalidated_by_a_write(
    harness: CacheHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when None is treated as a cache miss, or is cached as long as a value."""
    monkeypatch.setattr(module, "MISSING_SECONDS", 0.4)
    cache = await harness.cache()
    asked = 0

    async def find() -> Value | None:
        nonlocal asked
        asked += 1
        return None

    async def get() -> Value | None:
        return await cache.get_or_load("missing", find, kind=Value | None, tags=[TAG], ttl_seconds=60)

    assert [await get(), await get(), asked] == [None, None, 1]
    await harness.set(cache, 1)
    assert [await get(), await get(), asked] == [None, None, 2]
    await asyncio.sleep(0.5)
    assert [await get(), asked] == [None, 3]


@pytest.mark.slow
async def test_a_value_expires_after_its_ttl_or_a_tenth_earlier(harness: CacheHarness) -> None:
    """Breaks without jitter, or if expires_at is ignored."""
    cache = await harness.cache()
    ends = []
    for number in range(30):
        await cache.get_or_load(f"key {number}", harness.load, kind=Value, tags=[TAG], ttl_seconds=100)
        entry = cache._memory.get(f"key {number}")
        assert entry is not None
        ends.append(entry.expires_at - time.time())
    assert 89 < min(ends) < 95 < max(ends) < 100
    await harness.get(cache, ttl_seconds=0.3)
    loads = harness.loads
    await asyncio.sleep(0.35)
    await harness.get(cache, ttl_seconds=0.3)
    assert harness.loads == loads + 1


async def test_a_value_is_refreshed_before_it_expires(harness: CacheHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when refresh_at is ignored, or if the caller waits for the refresh."""
    one, two = await harness.cache(), await harness.cache()
    monkeypatch.setattr("math.log", lambda _: -1e9)  # refresh_at is then always in the past
    await harness.get(one)
    monkeypatch.undo()
    gate = Gate(harness)
    began = time.monotonic()
    assert await harness.get(one, gate.load) == 0
    assert time.monotonic() - began < 0.5
    await gate.has_read.wait()
    gate.opened.set()
    await asyncio.sleep(0.1)
    assert [await harness.get(one), await harness.get(two), harness.loads] == [0, 0, 2]


async def test_a_load_may_decline_to_cache_its_value(harness: CacheHarness) -> None:
    cache = await harness.cache()

    async def get() -> int:
        value = await cache.get_or_load(
            TAG, harness.load, kind=Value, tags=[TAG], ttl_seconds=lambda value: value.number
        )
        return value.number

    assert [await get(), await get(), harness.loads] == [0, 0, 2]
    await harness.set(cache, 60)
    assert [await get(), await get(), harness.loads] == [60, 60, 3]


async def test_a_disabled_cache_loads_everything_and_still_invalidates(harness: CacheHarness, kind: str) -> None:
    """Breaks when invalidate does nothing on a disabled cache."""
    off, on = await harness.cache(enabled=False), await harness.cache()
    assert [await harness.get(off), await harness.get(off), harness.loads] == [0, 0, 2]
    assert await harness.get(on) == 0
    await harness.set(off, 1)
    await asyncio.sleep(1.05 if kind == "bounded" else 0)
    assert await harness.get(on) == 1


async def test_a_value_of_another_type_is_not_used(harness: CacheHarness) -> None:
    """Breaks without the fingerprint of the type: a release would read the values of the previous release."""
    one, two = await harness.cache(), await harness.cache()
    await harness.get(one)

    class NewValue(Struct, frozen=True):
        number: int
        unit: str = "not set by the previous release"

    async def load() -> NewValue:
        return NewValue(7, "cents")

    assert await two.get_or_load(TAG, load, kind=NewValue, tags=[TAG], ttl_seconds=60) == NewValue(7, "cents")


async def test_an_undecodable_value_is_loaded_again(harness: CacheHarness) -> None:
    one, two = await harness.cache(), await harness.cache()
    await harness.get(one)
    await harness.stores[one].set(f"{TAG}|{fingerprint(Value)}", b"\xc1 not msgpack", 60)
    assert [await harness.get(two), harness.loads] == [0, 2]


@pytest.mark.parametrize("tags", [(TAG,), ()])
async def test_invalidate_now_invalidates_a_tag_or_the_whole_cache(
    harness: CacheHarness, kind: str, tags: tuple[str, ...]
) -> None:
    one, two = await harness.cache(), await harness.cache()
    assert [await harness.get(one), await harness.get(two), harness.loads] == [0, 0, 1]
    await two.invalidate_now(*tags)
    await asyncio.sleep(1.05 if kind == "bounded" else 0)
    assert [await harness.get(one), await harness.get(two), harness.loads] == [0, 0, 2]


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


async def test_the_trace_of_a_read_says_how_its_value_was_found(harness: CacheHarness) -> None:
    """Breaks when a value in memory is a span: each authenticated request would have one."""
    one, two = await harness.cache(), await harness.cache()

    async def traced(cache: Cache) -> tuple[str | None, list[object]]:
        trace = Trace("a" * 32, "b" * 16)
        current.set((trace, trace.span_id, None))
        await harness.get(cache)
        spans = [(name, (attributes or {}).get("outcome")) for name, _, _, _, _, _, _, attributes in trace.spans]
        return trace.cache, [each for each in spans if each[0].startswith("cache ")]

    first, second, third = [await asyncio.create_task(traced(cache)) for cache in (one, one, two)]
    name = f"cache {TAG.partition(':')[0]}"
    assert first == ("miss", [(name, "load")])
    assert second == ("hit", [])
    assert third == ("hit", [(name, "shared_hit")])
