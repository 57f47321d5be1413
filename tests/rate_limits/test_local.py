"""Rate-limit stores: on one machine, and across machines with Redis."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restwell.errors import ConfigurationError
from restwell.rate_limits import LocalRateLimitStore, Rate, RateLimitResult
from restwell.rate_limits._local import SETS, WAYS
from restwell.rate_limits._rate import NANOSECONDS, spend
from restwell.rate_limits._redis import RedisRateLimitStore
from servers import redis_server

RATE = Rate("reads", 100, seconds=60)
RateLimitStores = LocalRateLimitStore | RedisRateLimitStore


@asynccontextmanager
async def opened(store: RateLimitStores) -> AsyncIterator[RateLimitStores]:
    await store.start()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[LocalRateLimitStore]:
    store = LocalRateLimitStore(tmp_path / "one")
    async with opened(store):
        yield store


async def take(store: RateLimitStores, rate: Rate, client_key: str = "ada") -> RateLimitResult:
    return store.take_nowait(rate, client_key) or await store.take(rate, client_key)


async def count_allowed(store: RateLimitStores, rate: Rate, tries: int, client_key: str = "ada") -> int:
    return sum([(await take(store, rate, client_key)).allowed for _ in range(tries)])


@given(
    st.integers(1, 1_000),
    st.integers(1, 600),
    st.lists(st.integers(0, 30 * NANOSECONDS), min_size=1, max_size=300),
)
def test_no_interval_allows_more_than_its_burst_and_refill(count: int, seconds: int, pauses: list[int]) -> None:
    """Breaks with a fixed window, which allows twice the rate around its boundary."""
    rate = Rate("any", count, seconds)
    full_at, now, begin, taken = 0, 10**15, 10**15, 0
    for pause in pauses:
        now += pause
        full_at, result = spend(rate, full_at, now)
        taken += result.allowed
        assert taken <= count + (now - begin) // rate.interval_ns
        if not result.allowed:
            assert spend(rate, full_at, now + result.reset_seconds * NANOSECONDS)[1].allowed, (
                "a request after reset_seconds is allowed"
            )
            assert result.remaining == 0
        else:
            remaining = result.remaining
            assert remaining == 0 or spend(Rate("any", count, seconds), full_at, now)[1].remaining == remaining - 1
        later = spend(rate, full_at, now + result.reset_seconds * NANOSECONDS + seconds * NANOSECONDS)[1]
        assert later.remaining == count - 1, "the quota is full"


async def test_each_client_and_each_rate_has_its_own_count(machine: LocalRateLimitStore) -> None:
    assert await count_allowed(machine, RATE, 300) == RATE.count
    assert await count_allowed(machine, RATE, 1, client_key="grace") == 1
    assert await count_allowed(machine, Rate("writes", 3, 60), 10) == 3
    refused = machine.take_nowait(RATE, "ada")
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 1)


async def test_a_spent_rate_refills_gradually(machine: LocalRateLimitStore) -> None:
    quick = Rate("quick", 5, seconds=1)
    assert await count_allowed(machine, quick, 20) == 5
    await asyncio.sleep(0.5)
    assert 2 <= await count_allowed(machine, quick, 20) <= 4


def _spend_all(folder: Path, start: float, results: "multiprocessing.Queue[int]") -> None:
    async def main() -> int:
        async with opened(LocalRateLimitStore(folder)) as store:
            await asyncio.sleep(start - time.time())
            return await count_allowed(store, Rate("reads", 2_000, seconds=3_600), 2_000)

    results.put(asyncio.run(main()))


async def test_processes_of_one_machine_share_a_count(tmp_path: Path) -> None:
    """Breaks without the lock: two processes read the same state, and both allow a request."""
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = spawn.Queue()
    start = time.time() + 2
    processes = [spawn.Process(target=_spend_all, args=(tmp_path, start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    counts = [await asyncio.to_thread(results.get, timeout=60) for _ in processes]
    for process in processes:
        process.join()
    results.close()
    results.join_thread()
    refilled = (time.time() - start) / (3_600 / 2_000)
    assert 2_000 <= sum(counts) <= 2_000 + refilled + 1, counts


async def test_a_spent_rate_survives_a_restart_of_the_process_and_not_a_reboot(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    async with opened(LocalRateLimitStore(folder)) as store:
        assert await count_allowed(store, RATE, 300) == RATE.count
    async with opened(LocalRateLimitStore(folder)) as store:
        assert await count_allowed(store, RATE, 3) == 0
    later = 10**18  # the monotonic clock of a machine that has been up for thirty years
    assert spend(RATE, later, time.monotonic_ns())[1].remaining == RATE.count - 1


async def test_a_full_set_evicts_the_client_with_the_most_remaining_quota(machine: LocalRateLimitStore) -> None:
    """Breaks when the client with the least remaining quota is evicted: its quota is then full again."""
    slow = Rate("reads", 100, seconds=36_000)
    assert await count_allowed(machine, slow, 300, client_key="greedy") == slow.count
    for number in range(2 * SETS * WAYS):
        machine.take_nowait(slow, f"crowd {number}")
    async with opened(LocalRateLimitStore(machine.folder)) as another:  # the first one remembers its rejections
        assert await count_allowed(another, slow, 5, client_key="greedy") == 0


async def test_a_process_leases_a_part_of_a_large_rate(machine: LocalRateLimitStore) -> None:
    """The lease is a sixty-fourth of the remaining quota.

    Breaks when it is not subtracted, or not reported as remaining.
    """
    large = Rate("large", 640, seconds=3_600)
    async with opened(LocalRateLimitStore(machine.folder)) as another:
        assert (await take(machine, large)).remaining == 639
        assert (await take(another, large)).remaining == 629, "the lease of the first is not available to the second"
        assert [(await take(machine, large)).remaining for _ in range(9)] == list(range(638, 629, -1))
        assert await count_allowed(machine, large, 1_000) + await count_allowed(another, large, 1_000) == 640 - 11
        assert not (await take(machine, large)).allowed
        assert not (await take(another, large)).allowed


async def test_a_small_rate_is_counted_request_by_request(machine: LocalRateLimitStore) -> None:
    async with opened(LocalRateLimitStore(machine.folder)) as another:
        remaining = [(await take((machine, another)[number % 2], RATE)).remaining for number in range(6)]
    assert remaining == [99, 98, 97, 96, 95, 94]


async def test_a_lease_expires_when_its_quota_would_have_been_refilled(machine: LocalRateLimitStore) -> None:
    """Breaks when a lease does not expire: after a pause it would be added to the full quota."""
    large = Rate("large", 640, seconds=64)  # a lease has ten requests, which are refilled within a second
    machine.take_nowait(large, "ada")
    await asyncio.sleep(1.2)
    assert await count_allowed(machine, large, 1_000) in range(640, 644)


async def test_a_folder_of_another_user_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12_345)
    with pytest.raises(ConfigurationError, match="RUNTIME_DIR"):
        await LocalRateLimitStore(tmp_path).start()


async def test_machines_share_a_count_in_redis_and_never_allow_more(redis_url: str, tmp_path: Path) -> None:
    """Breaks when each machine counts separately. A lease of one machine is not available to the others."""
    rate = Rate("reads", 100, seconds=3_600)
    async with AsyncExitStack() as stack:
        nodes = [
            RedisRateLimitStore(redis_url, tmp_path.name, LocalRateLimitStore(tmp_path / str(n))) for n in range(4)
        ]
        for node in nodes:
            await stack.enter_async_context(opened(node))
        counts = await asyncio.gather(*(count_allowed(node, rate, 100) for node in nodes))
        assert sum(counts) == 100, counts
        refused = await take(nodes[0], rate)
        assert (refused.allowed, refused.remaining) == (False, 0)
        assert 1 <= refused.reset_seconds <= 36


async def test_a_lease_saves_round_trips_to_redis(redis_url: str, tmp_path: Path) -> None:
    store = RedisRateLimitStore(redis_url, tmp_path.name, LocalRateLimitStore(tmp_path / "one"))
    async with opened(store):
        assert store.take_nowait(RATE, "ada") is None
        first = await store.take(RATE, "ada")
        assert first.remaining == RATE.count - 1
        results = [store.take_nowait(RATE, "ada") for _ in range(5)]
        assert [one.remaining for one in results if one is not None] == [98, 97, 96, 95, 94]
        assert store.take_nowait(RATE, "ada") is None, "the lease has six requests, a sixteenth of a hundred"


async def test_concurrent_first_requests_leave_quota_for_other_machines(redis_url: str, tmp_path: Path) -> None:
    """Breaks when each request without a lease requests one: a hundred lease the whole quota of 1,200."""
    rate = Rate("reads", 1_200, 60)
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(
                opened(RedisRateLimitStore(redis_url, tmp_path.name, LocalRateLimitStore(tmp_path / name)))
            )
            for name in ("one", "two")
        ]
        results = await asyncio.gather(*(take(one, rate) for _ in range(100)))
        assert {result.allowed for result in results} == {True}
        assert await count_allowed(two, rate, 900) == 900


async def test_redis_counts_a_rate_above_a_million_a_second(redis_url: str, tmp_path: Path) -> None:
    """Breaks when the interval is rounded to zero microseconds: the script then fails, as if Redis were unavailable."""
    store = RedisRateLimitStore(redis_url, tmp_path.name, LocalRateLimitStore(tmp_path / "one"))
    async with opened(store):
        assert (await store.take(Rate("bench", 1_200_000_000, seconds=60), "ada")).allowed
        assert not store.degraded


@pytest.mark.integration
async def test_a_machine_enforces_its_share_while_redis_is_down(tmp_path: Path) -> None:
    """Breaks when no request is counted while Redis is unavailable, or when each machine allows the whole rate."""
    with redis_server() as server:
        async with AsyncExitStack() as stack:
            nodes = [RedisRateLimitStore(server.url, "shop", LocalRateLimitStore(tmp_path / str(n))) for n in range(4)]
            for node in nodes:
                await stack.enter_async_context(opened(node))
            node = nodes[-1]
            assert node.machines == 4
            server.kill()
            assert await count_allowed(node, RATE, 300) == RATE.count // 4
            assert node.degraded
            began = time.perf_counter()
            assert await count_allowed(node, RATE, 100, client_key="grace") == RATE.count // 4
            assert time.perf_counter() - began < 0.2, "requests do not wait for an unavailable Redis"
            server.start()
            async with asyncio.timeout(10):
                while (await count_allowed(node, RATE, 300, client_key=str(time.monotonic_ns()))) != RATE.count:
                    await asyncio.sleep(0.05)
