"""The shop with random pauses in its cache, and optionally with its protection against stale values disabled.

``PAUSES`` is the longest pause in seconds. With ``BROKEN=leases`` a value is stored under the generations at the time
of storing, so that a value loaded before a write is served after it, as with plain cache-aside. ``TTL`` is the TTL of
all values in seconds.
"""

import asyncio
import os
import random
from typing import Any

from restwell.cache import Cache
from restwell.cache._invalidation import Invalidation
from restwell.cache._store import Generations
from shop.app import shop

PAUSES = float(os.environ.get("PAUSES", "0"))
BROKEN = os.environ.get("BROKEN", "")
TTL = float(os.environ.get("TTL", "0"))


async def pause() -> None:
    if PAUSES and random.random() < 0.5:  # noqa: S311  # test data
        await asyncio.sleep(random.uniform(0, PAUSES))  # noqa: S311  # test data


original_set, before_commit, committed = Cache._set, Invalidation.before_commit, Invalidation.committed


async def slow_set(self: Cache, request: Any, value: Any, generations: Generations, seconds: float) -> bool:
    await pause()
    if TTL:
        request = request._replace(ttl_seconds=lambda _: TTL)
    if BROKEN == "leases":
        found = await self._store.get(request.store_key, request.tags)
        generations = found.generations or generations
    return await original_set(self, request, value, generations, seconds)


async def slow_before_commit(self: Invalidation, tx: Any) -> None:
    await before_commit(self, tx)
    await pause()


async def slow_committed(self: Invalidation) -> None:
    await pause()
    await committed(self)


Cache._set = slow_set  # type: ignore[method-assign]  # patched on purpose
Invalidation.before_commit = slow_before_commit  # type: ignore[method-assign]  # as above
Invalidation.committed = slow_committed  # type: ignore[method-assign]  # as above

project = shop
