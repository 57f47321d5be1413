"""Level 1: eviction, and the limit on its bytes."""

import random

import pytest

from restwell.cache._memory import ENTRY_BYTES, OBJECT_FACTOR, Entry, Memory
from restwell.cache._metrics import CacheStats

SIZE = 2_000
STATS = CacheStats()


def entry(key: str, size: int = SIZE) -> Entry:
    return Entry(key, key.upper(), (), (size - ENTRY_BYTES) // OBJECT_FACTOR, 0.0, 0.0, STATS)


def test_the_memory_returns_an_entry_it_was_given() -> None:
    memory = Memory(100 * SIZE)
    memory.put(entry("a"))
    found = memory.get("a")
    assert found is not None
    assert (found.value, memory.get("b"), len(memory), memory.bytes) == ("A", None, 1, SIZE)


def test_the_memory_never_exceeds_its_size_limit() -> None:
    """Breaks when _evict is not called repeatedly."""
    memory = Memory(20 * SIZE)
    before = STATS.entries, STATS.bytes, STATS.evictions
    rng = random.Random(1)  # noqa: S311  # test data
    for number in range(5_000):
        key = str(rng.randrange(200))
        if memory.get(key) is None or rng.random() < 0.2:
            memory.put(entry(key, rng.randrange(ENTRY_BYTES, 2 * SIZE, 2)))
        assert memory.bytes <= 20 * SIZE, number
        assert memory.bytes == sum(one.size for one in memory._entries.values())
        assert memory._small_bytes == sum(one.size for one in memory._entries.values() if one.in_small)
    assert len(memory) == len(memory._small) + len(memory._main)
    assert len(memory._ghost) <= 200
    assert (STATS.entries - before[0], STATS.bytes - before[1]) == (len(memory), memory.bytes)
    assert STATS.evictions - before[2] > 100


def test_entries_read_once_evict_no_entry_read_often() -> None:
    """Breaks when new entries enter the main queue: a scan then empties the cache, as with LRU."""
    memory = Memory(100 * SIZE)
    for key in map(str, range(50)):
        memory.put(entry(key))
    for _ in range(3):
        for key in map(str, range(50)):
            memory.get(key)
    for number in range(10_000):
        memory.put(entry(f"junk {number}"))
    assert all(memory.get(str(key)) is not None for key in range(50))


def test_a_recently_evicted_entry_returns_to_the_main_queue() -> None:
    """Breaks without the ghost queue."""
    memory = Memory(20 * SIZE)
    for number in range(30):
        memory.put(entry(str(number)))
    evicted = next(iter(memory._ghost))
    memory.put(entry(evicted))
    back = memory.get(evicted)
    assert back is not None
    assert not back.in_small


def test_a_refreshed_value_stays_one_entry() -> None:
    """Breaks when put() always appends: a key that is refreshed every minute would fill the queue."""
    memory = Memory(100 * SIZE)
    for number in range(1_000):
        memory.put(entry("hot", SIZE + 2 * number))
    found = memory.get("hot")
    assert found is not None
    assert (len(memory), len(memory._small), memory.bytes, found.size) == (1, 1, SIZE + 1_998, SIZE + 1_998)


def test_a_value_larger_than_the_small_queue_is_not_stored() -> None:
    memory = Memory(100 * SIZE)
    memory.put(entry("huge", 11 * SIZE))
    assert (memory.get("huge"), memory.bytes) == (None, 0)


@pytest.mark.parametrize("reads", [0, 1, 2, 9])
def test_an_entry_counts_at_most_three_uses(reads: int) -> None:
    memory = Memory(100 * SIZE)
    memory.put(entry("a"))
    for _ in range(reads):
        memory.get("a")
    assert memory._entries["a"].frequency == min(reads, 3)
