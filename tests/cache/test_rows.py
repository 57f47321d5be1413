"""Rows that are cached one by one and read together, on each kind of store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from cache_harness import CacheHarness, Value, read_value, set_value
from restwell.cache import Cache
from restwell.cache._local import LocalStore
from restwell.cache._rows import RENEWED_SHARE
from restwell.cache._store import Generation

TTL_SECONDS = 60

Load = Callable[[int], Awaitable[Value | None]]


def tag(row_id: int) -> str:
    return f"row:{row_id}"


class CachedRows:
    """The rows of the harness. ``loaded`` has the id of each row that was read from the database."""

    def __init__(self, harness: CacheHarness) -> None:
        self._database = harness.database
        self.loaded: list[int] = []

    async def load(self, row_id: int) -> Value | None:
        self.loaded.append(row_id)
        number = await self._database.find(read_value, id=row_id)
        return Value(number) if number is not None else None

    async def get(self, cache: Cache, *ids: int, load: Load | None = None) -> list[int | None]:
        rows = await cache.get_or_load_each(ids, load or self.load, tag=tag, ttl_seconds=TTL_SECONDS)
        return [row.number if row is not None else None for row in rows]

    async def set(self, cache: Cache, row_id: int, number: int) -> None:
        async with self._database.transaction() as tx:
            await tx.run(set_value, match_id=row_id, number=number)
            cache.invalidate(tx, tag(row_id))


@pytest.fixture
def rows(harness: CacheHarness) -> CachedRows:
    return CachedRows(harness)


async def wait_for_other_processes(kind: str) -> None:
    await asyncio.sleep(1.05 if kind == "bounded" else 0)


async def test_a_write_to_a_row_reads_that_row_again_and_no_other(
    harness: CacheHarness, rows: CachedRows, kind: str
) -> None:
    """Fails if rows share a tag, or if the generation of a cached row is not checked."""
    one, two = await harness.cache(), await harness.cache()
    assert await rows.get(one, 1, 2, 3) == [0, 0, 0]
    await rows.set(two, 2, 5)
    await wait_for_other_processes(kind)
    assert await rows.get(one, 3, 2, 1) == [0, 5, 0]
    assert await rows.get(one, 3, 2, 1) == [0, 5, 0]
    assert rows.loaded == [1, 2, 3, 2]


async def test_a_row_that_was_read_before_a_write_is_not_served_after_it(
    harness: CacheHarness, rows: CachedRows, kind: str
) -> None:
    """Fails if the generations are read after the rows."""
    one, two = await harness.cache(), await harness.cache()
    has_read, opened = asyncio.Event(), asyncio.Event()

    async def load(row_id: int) -> Value | None:
        value = await rows.load(row_id)
        if row_id == 1:
            has_read.set()
        await opened.wait()
        return value

    slow = asyncio.create_task(rows.get(one, 1, 2, load=load))
    await has_read.wait()
    await rows.set(two, 1, 5)
    opened.set()
    assert await slow == [0, 0]  # the read began before the write committed
    await wait_for_other_processes(kind)
    assert await rows.get(one, 1, 2) == [5, 0]
    assert rows.loaded == [1, 2, 1]


async def test_a_row_is_not_cached_during_a_write_to_it_and_the_others_are(
    harness: CacheHarness, rows: CachedRows
) -> None:
    """Fails if a row is cached without a generation, or if the writer of one row blocks the others."""
    cache = await harness.cache()
    store = harness.stores[cache]
    async with harness.database.transaction() as tx:
        await tx.run(set_value, match_id=1, number=5)
        write = await store.begin_write(tx, [tag(1)])
        assert [await rows.get(cache, 1, 2), await rows.get(cache, 1, 2)] == [[0, 0], [0, 0]]
        assert rows.loaded == [1, 2, 1]
    await store.end_write(write)
    assert await rows.get(cache, 1, 2) == [5, 0]


async def test_a_missing_row_is_none_until_it_is_written(harness: CacheHarness, rows: CachedRows) -> None:
    cache = await harness.cache()
    assert [await rows.get(cache, 4), await rows.get(cache, 4)] == [[None], [None]]
    assert rows.loaded == [4]
    async with harness.database.transaction() as tx:
        await tx.run_script("INSERT INTO counters VALUES (4, 7)")
        cache.invalidate(tx, tag(4))
    assert await rows.get(cache, 4) == [7]


async def test_the_generations_of_all_rows_are_one_request(harness: CacheHarness, rows: CachedRows, kind: str) -> None:
    """Fails if the generation of each row is a request of its own, or if there is one although all are known."""
    cache = await harness.cache()
    store = harness.stores[cache]
    requests: list[list[str]] = []
    generations = store.generations
    await generations([tag(1), tag(2), tag(3)])  # creates them

    async def counting(tags: Sequence[str]) -> list[Generation | None]:
        requests.append([*tags])
        return await generations(tags)

    store.generations = counting  # type: ignore[method-assign]  # counts
    for _ in range(2):
        assert await rows.get(cache, 1, 2, 3) == [0, 0, 0]
    assert requests == [[tag(1), tag(2), tag(3)]] * (2 if kind == "strict" else 1)
    assert rows.loaded == [1, 2, 3]


async def test_rows_that_expire_soon_are_loaded_with_one_that_has_expired(
    harness: CacheHarness, rows: CachedRows
) -> None:
    """Fails if each is loaded when it expires itself: a list of 100 would expire 100 times as often as a row."""
    cache = await harness.cache()
    await rows.get(cache, 1, 2, 3)
    first, second = (cache._memory.get(f"{tag(row_id)}|row") for row_id in (1, 2))
    assert first is not None
    assert second is not None
    second.refresh_at -= TTL_SECONDS * RENEWED_SHARE
    await rows.get(cache, 1, 2, 3)
    assert rows.loaded == [1, 2, 3]
    first.refresh_at -= TTL_SECONDS
    await rows.get(cache, 1, 2, 3)
    assert rows.loaded == [1, 2, 3, 1, 2]


async def test_without_a_cache_each_row_is_loaded(harness: CacheHarness, rows: CachedRows) -> None:
    """Fails if a transaction is not asked: it would not see its own write, and others would see it."""
    off, on = await harness.cache(enabled=False), await harness.cache()
    assert [await rows.get(off, 1, 1), await rows.get(off, 1)] == [[0, 0], [0]]
    assert await rows.get(on, 1) == [0]
    with pytest.raises(ZeroDivisionError):
        async with harness.database.transaction(ambient=True):
            await rows.set(on, 1, 5)
            assert await rows.get(on, 1) == [5]
            raise ZeroDivisionError
    assert await rows.get(on, 1) == [0]


async def test_rows_are_read_and_not_cached_when_the_store_fails(tmp_path: Path, harness: CacheHarness) -> None:
    rows = CachedRows(harness)
    never_started = Cache(LocalStore(tmp_path / "never", 1_000), max_bytes=1_000_000)
    assert [await rows.get(never_started, 1), await rows.get(never_started, 1)] == [[0], [0]]
    assert rows.loaded == [1, 1]


async def test_the_error_of_a_row_is_raised_and_not_cached(harness: CacheHarness, rows: CachedRows) -> None:
    cache = await harness.cache()

    async def fail(_: int) -> Value:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rows.get(cache, 1, 2, load=fail)
    assert await rows.get(cache, 1, 2) == [0, 0]


async def test_no_rows_are_no_request(harness: CacheHarness, rows: CachedRows) -> None:
    cache = await harness.cache()
    assert await rows.get(cache) == []
