"""Rate limits across machines with Redis."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rate_limit_stores import RATE, count_allowed, opened, take
from restwell.rate_limits import Rate
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.rate_limits._redis import RedisRateLimitStore
from servers import redis_server


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
