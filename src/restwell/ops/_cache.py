"""The cache: how often each kind of key is found, and its invalidation."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from restwell.cache import Cache
from restwell.observability._metrics import Metrics
from restwell.ops._actions import Done, action
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.settings import Settings
from restwell.web import Controller, Request, Response

PREFIX: Final = "restwell_cache_"
PATH: Final = f"{ROOT}/cache"


class CacheRow(Struct):
    """The reads of one kind of key: a route, or the part of a key before the colon."""

    name: str
    hits: float = 0
    shared_hits: float = 0
    loads: float = 0
    bypasses: float = 0
    stale_prevented: float = 0
    invalidations: float = 0
    evictions: float = 0
    entries: float = 0
    bytes: float = 0

    @property
    def reads(self) -> float:
        return self.hits + self.shared_hits + self.loads + self.bypasses

    @property
    def hit_rate(self) -> float | None:
        return (self.hits + self.shared_hits) / self.reads if self.reads else None


class TagForm(Struct, frozen=True):
    tag: Annotated[str, Meta(max_length=200)] = ""


class CacheController(Controller):
    path = PATH

    @page()
    async def cache(self, request: Request, layout: Layout, metrics: Metrics, settings: Settings) -> Response[bytes]:
        rows, processes = await read_cache(metrics)
        total = CacheRow("")
        for row in rows:
            for field in CacheRow.__struct_fields__[1:]:
                setattr(total, field, getattr(total, field) + getattr(row, field))
        mode = f"{settings.cache}, {'in Redis' if settings.redis.url is not None else 'local to this machine'}"
        return layout.page(request, "cache.html", rows=rows, total=total, processes=processes, mode=mode)

    @action("/clear")
    async def clear_cache(self, form: TagForm, cache: Cache) -> Done:
        tags = form.tag.split()
        await cache.invalidate_now(*tags)
        return Done(f"Invalidated {' and '.join(tags)}." if tags else "Invalidated the whole cache.", PATH)


async def read_cache(metrics: Metrics) -> tuple[list[CacheRow], int]:
    """The rows with the most reads first, and how many processes use the cache."""
    rows: dict[str, CacheRow] = {}
    processes = 0
    for family in await metrics.families(PREFIX):
        field = family.name.removeprefix(PREFIX)
        for sample, labels, value in family.samples:
            if field == "up":
                processes = int(value)
            elif field in CacheRow.__struct_fields__ and not sample.endswith("_created"):
                setattr(rows.setdefault(labels["name"], CacheRow(labels["name"])), field, value)
    return sorted(rows.values(), key=lambda row: (-row.reads, row.name)), processes


PAGE: Final = OpsPage("Cache", CacheController)
