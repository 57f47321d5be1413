"""Rate-limit stores for tests: opened ones, and counts of what they allow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from restwell.rate_limits import Rate
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.rate_limits._rate import RateLimitResult
from restwell.rate_limits._redis import RedisRateLimitStore

RATE = Rate("reads", 100, seconds=60)
Store = TypeVar("Store", LocalRateLimitStore, RedisRateLimitStore)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def take(
    store: LocalRateLimitStore | RedisRateLimitStore, rate: Rate, client_key: str = "ada"
) -> RateLimitResult:
    return store.take_nowait(rate, client_key) or await store.take(rate, client_key)


async def count_allowed(
    store: LocalRateLimitStore | RedisRateLimitStore, rate: Rate, tries: int, client_key: str = "ada"
) -> int:
    return sum([(await take(store, rate, client_key)).allowed for _ in range(tries)])
