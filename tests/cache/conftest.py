"""The cache harness with each kind of store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache_harness import CacheHarness, harness_database
from restwell.cache._local import LocalStore
from restwell.cache._redis import RedisStore
from restwell.cache._store import Store
from restwell.cache._suspension import CacheSuspension
from restwell.ids import new_id


@pytest.fixture(params=["local", "strict", "bounded"])
def kind(request: pytest.FixtureRequest) -> str:
    """The local store; Redis in strict mode; Redis in bounded mode."""
    name: str = request.param
    return name


@pytest.fixture
async def harness(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[CacheHarness]:
    name, redis_url = new_id().hex, request.getfixturevalue("redis_url") if kind != "local" else ""
    async with harness_database(tmp_path) as database:

        def new_store() -> Store:
            if kind == "local":
                return LocalStore(tmp_path / "cache", 1_000_000)
            return RedisStore(redis_url, name, CacheSuspension(database), strict=kind == "strict")

        harness = CacheHarness(database, new_store)
        yield harness
        for cache in harness.stores:
            await cache.close()
