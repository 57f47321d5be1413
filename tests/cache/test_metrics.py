"""The Prometheus metrics of the cache."""

from pathlib import Path

from msgspec import Struct
from prometheus_client import CollectorRegistry

from restwell.cache import Cache
from restwell.cache._local import LocalStore
from restwell.cache._metrics import CacheCollector


class Value(Struct, frozen=True):
    text: str


async def test_cache_metrics_are_counted_by_name(tmp_path: Path) -> None:
    """Breaks when a count has another name, or when evicted entries are still counted."""
    cache = Cache(LocalStore(tmp_path, 2**20), max_bytes=100_000)
    registry = CollectorRegistry()
    registry.register(cache.metrics)

    def metric(what: str, name: str) -> float | None:
        return registry.get_sample_value(f"restwell_cache_{what}", {"name": name})

    async def load() -> Value:
        return Value("x" * 1_000)

    async def get(key: str, name: str | None = None) -> None:
        await cache.get_or_load(key, load, kind=Value, tags=[key], ttl_seconds=60, name=name)

    await cache.start()
    for _ in range(3):
        await get("user:1")
        await get("GET /v1/products ?limit=1", "GET /v1/products")
    assert (metric("loads_total", "user"), metric("hits_total", "user")) == (1, 2)
    assert (metric("loads_total", "GET /v1/products"), metric("hits_total", "GET /v1/products")) == (1, 2)
    assert metric("entries", "user") == 1
    await cache.invalidate_now("user:1")
    await get("user:1")
    assert metric("stale_prevented_total", "user") == 1
    for number in range(100):
        await get(f"order:{number}")
    entries, evictions = metric("entries", "order"), metric("evictions_total", "order")
    assert entries is not None
    assert evictions is not None
    assert (entries + evictions, evictions > 50) == (100, True)
    assert metric("bytes", "order") == cache._memory.bytes - sum(
        metric("bytes", name) or 0 for name in ("user", "GET /v1/products")
    )
    assert registry.get_sample_value("restwell_cache_up") == 1
    await cache.close()


def test_cache_invalidations_are_counted_by_kind_of_tag() -> None:
    collector = CacheCollector(lambda: False)
    registry = CollectorRegistry()
    registry.register(collector)
    collector.invalidations["product"] += 2
    assert registry.get_sample_value("restwell_cache_invalidations_total", {"name": "product"}) == 2
    assert registry.get_sample_value("restwell_cache_up") == 0
