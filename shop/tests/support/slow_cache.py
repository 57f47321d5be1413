"""The shop with random pauses in its cache, and optionally with its protection against stale values disabled.

``PAUSES`` is the longest pause in seconds. With ``BROKEN=leases`` a value is stored under the generations at the time
of storing, so that a value loaded before a write is served after it, as with plain cache-aside. With ``BROKEN=rows``
the generations of rows are read after the rows. ``TTL`` is the TTL of all values in seconds.
"""

import asyncio
import math
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from restwell.cache import Cache
from restwell.cache._invalidation import Invalidation
from restwell.cache._store import Generations
from shop.app import shop

PAUSES = float(os.environ.get("PAUSES", "0"))
BROKEN = os.environ.get("BROKEN", "")
TTL = float(os.environ.get("TTL", "0"))


def pause_seconds() -> float:
    return random.uniform(0, PAUSES) if random.random() < 0.5 else 0.0  # noqa: S311  # test data


async def pause() -> None:
    await asyncio.sleep(pause_seconds())


original_set, before_commit, committed = Cache._set, Invalidation.before_commit, Invalidation.committed
original_each = Cache.get_or_load_each


async def slow_set(
    self: Cache, request: Any, value: Any, generations: Generations, seconds: float, latest: float = math.inf
) -> float:
    await pause()
    if TTL:
        request = request._replace(ttl_seconds=lambda _: TTL)
    if BROKEN == "leases":
        found = await self._store.get(request.store_key, request.tags)
        generations = found.generations or generations
    return await original_set(self, request, value, generations, seconds, latest)


async def slow_each(
    self: Cache, ids: Sequence[Any], load: Callable[[Any], Awaitable[Any]], **options: Any
) -> list[Any]:
    rows = dict(zip(ids, await asyncio.gather(*map(load, ids)), strict=True)) if BROKEN == "rows" else {}
    seconds = pause_seconds()

    async def slow_load(row_id: Any) -> Any:
        row = rows[row_id] if rows else await load(row_id)
        await asyncio.sleep(seconds)
        return row

    return await original_each(self, ids, slow_load, **options)


async def slow_before_commit(self: Invalidation, tx: Any) -> None:
    await before_commit(self, tx)
    await pause()


async def slow_committed(self: Invalidation) -> None:
    await pause()
    await committed(self)


Cache._set = slow_set  # type: ignore[method-assign]  # patched on purpose
Cache.get_or_load_each = slow_each  # type: ignore[method-assign]  # as above
Invalidation.before_commit = slow_before_commit  # type: ignore[method-assign]  # as above
Invalidation.committed = slow_committed  # type: ignore[method-assign]  # as above

project = shop
