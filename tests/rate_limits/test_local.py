"""Rate limits of one machine, which its processes share."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rate_limit_stores import RATE, count_allowed, opened, take
from restwell.errors import ConfigurationError
from restwell.rate_limits import Rate, _local
from restwell.rate_limits._local import WAYS, LocalRateLimitStore
from restwell.rate_limits._rate import spend


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[LocalRateLimitStore]:
    store = LocalRateLimitStore(tmp_path / "one")
    async with opened(store):
        yield store


async def test_each_client_and_each_rate_has_its_own_count(machine: LocalRateLimitStore) -> None:
    assert await count_allowed(machine, RATE, 300) == RATE.count
    assert await count_allowed(machine, RATE, 1, client_key="grace") == 1
    assert await count_allowed(machine, Rate("writes", 3, 60), 10) == 3
    refused = machine.take_nowait(RATE, "ada")
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 1)


@pytest.mark.slow
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


@pytest.mark.integration
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


async def test_a_full_set_evicts_the_client_with_the_most_remaining_quota(
    machine: LocalRateLimitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the client with the least remaining quota is evicted: its quota is then full again."""
    monkeypatch.setattr(_local, "SETS", 64)
    slow = Rate("reads", 100, seconds=36_000)
    assert await count_allowed(machine, slow, 300, client_key="greedy") == slow.count
    for number in range(8 * 64 * WAYS):
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


@pytest.mark.slow
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
