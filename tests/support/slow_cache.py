"""The shop with pauses at the moments when a cache goes wrong, and with parts of its protection switched off on demand.

``PAUSES`` is the longest pause in seconds. ``BROKEN=leases`` keeps a value under the generations of the moment in which it is kept, as
cache-aside does everywhere else: what was read before a write then counts after it. ``TTL`` is how long any value lives.
"""

import asyncio
import os
import random
from typing import Any

from restwell.cache import Cache
from restwell.cache.invalidation import Invalidation
from restwell.cache.store import Generations
from shop.app import shop

PAUSES = float(os.environ.get("PAUSES", "0"))
BROKEN = os.environ.get("BROKEN", "")
TTL = float(os.environ.get("TTL", "0"))


async def pause() -> None:
    if PAUSES and random.random() < 0.5:  # noqa: S311  # a test's own
        await asyncio.sleep(random.uniform(0, PAUSES))  # noqa: S311  # a test's own


keep, before_commit, committed = Cache._set, Invalidation.before_commit, Invalidation.committed


async def slow_keep(self: Cache, request: Any, value: Any, generations: Generations, seconds: float) -> bool:
    await pause()
    if TTL:
        request = request._replace(ttl_seconds=lambda _: TTL)
    if BROKEN == "leases":
        found = await self._store.get(request.store_key, request.tags)
        generations = found.generations or generations
    return await keep(self, request, value, generations, seconds)


async def slow_before_commit(self: Invalidation, tx: Any) -> None:
    await before_commit(self, tx)
    await pause()


async def slow_committed(self: Invalidation) -> None:
    await pause()
    await committed(self)


Cache._set = slow_keep  # type: ignore[method-assign]  # what this module is for
Invalidation.before_commit = slow_before_commit  # type: ignore[method-assign]  # as above
Invalidation.committed = slow_committed  # type: ignore[method-assign]  # as above

project = shop
