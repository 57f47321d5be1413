"""Rows in level 1, each under a tag of its own. They are read together: one request for generations, and one batch of
loads for the rows that are missing.

Level 2 has no rows, but what is made of them: a process that lacks rows reads all of them with one query.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from restwell.cache._loads import Loader
from restwell.cache._memory import MISSING_SECONDS, Entry, Memory, with_jitter
from restwell.cache._metrics import CacheStats
from restwell.cache._reads import Reads, current_reads, note_read
from restwell.cache._store import Generation, Generations, Store, StoreUnavailable

RENEWED_SHARE: Final = 0.5
"""When a row has expired, those with less than this fraction of their TTL left are loaded with it. Otherwise a list
would expire as often as any of its rows.
"""


class RowRequest(NamedTuple):
    """The arguments of ``get_or_load_each``."""

    load: Callable[[Any], Awaitable[Any]]
    tag: Callable[[Any], str]
    ttl_seconds: float
    stats: CacheStats


class Row(NamedTuple):
    """A row, and until when it is current. ``generations`` is None if a write to it is in progress."""

    value: Any
    generations: Generations | None
    expires_at: float


class Rows:
    """The rows in the memory of this process."""

    def __init__(self, store: Store, memory: Memory, loader: Loader) -> None:
        self._store = store
        self._memory = memory
        self._loader = loader

    async def get(self, ids: Sequence[Any], request: RowRequest) -> list[Any]:
        """The row of each id, never older than the last write to it that was acknowledged before this call."""
        cached = self._cached(ids, request)
        rows = {each: _row_of(one) for each, one in cached.items() if self._store.is_current_nowait(one.generations)}
        unknown = [each for each in dict.fromkeys(ids) if each not in rows]
        missing: dict[Any, Generation | None] = {}
        if unknown:
            generations = await self._generations([request.tag(each) for each in unknown])
            for each, generation in zip(unknown, generations, strict=True):
                entry = cached.get(each)
                if entry is not None and entry.generations == (generation,):
                    rows[each] = _row_of(entry)
                else:
                    missing[each] = generation
        request.stats.hits += len(rows)
        if missing:
            rows |= await asyncio.shield(self._loader.spawn(self._load(missing, request)))
        for row in rows.values():
            note_read(self._store, row.generations, row.expires_at)
        return [rows[each].value for each in ids]

    def _cached(self, ids: Sequence[Any], request: RowRequest) -> dict[Any, Entry]:
        """The entries that need not be renewed."""
        found = {each: self._memory.get(_key(request.tag(each))) for each in ids}
        entries = {each: entry for each, entry in found.items() if entry is not None}
        now = time.time()
        if any(now >= entry.refresh_at for entry in entries.values()):
            now += request.ttl_seconds * RENEWED_SHARE
        return {each: entry for each, entry in entries.items() if now < entry.refresh_at}

    async def _generations(self, tags: Sequence[str]) -> Sequence[Generation | None]:
        try:
            return await self._store.generations(tags)
        except StoreUnavailable:
            return [None] * len(tags)

    async def _load(self, generations: Mapping[Any, Generation | None], request: RowRequest) -> dict[Any, Row]:
        """Load rows, and cache them under ``generations``, which were read before."""
        reads = Reads(self._store)
        current_reads.set(reads)
        request.stats.loads += len(generations)
        values, seconds = await self._loader.run(lambda: asyncio.gather(*map(request.load, generations)))
        now = time.time()
        rows = {}
        for (each, generation), value in zip(generations.items(), values, strict=True):
            ttl_seconds = request.ttl_seconds if value is not None else min(request.ttl_seconds, MISSING_SECONDS)
            expires_at = min(now + with_jitter(ttl_seconds), reads.expires_at)
            own = reads.generations_with((generation,)) if generation is not None else None
            rows[each] = Row(value, own, expires_at)
            if own is not None:
                size = len(msgspec.msgpack.encode(value))
                self._memory.set(_key(request.tag(each)), value, own, size, expires_at, seconds, request.stats)
            else:
                request.stats.bypasses += 1
        return rows


def _row_of(entry: Entry) -> Row:
    return Row(entry.value, entry.generations, entry.expires_at)


def _key(tag: str) -> str:
    """Differs from the key of a value that is cached with ``get_or_load``."""
    return f"{tag}|row"
