"""A read-through cache that never serves a stale value.

Each tag has a generation, a random number that every write changes. A read gets the generations of its tags first and
loads the value from the database second. A write begins before its commit: it changes the generations of its tags and
blocks caching of them; it ends after the commit. So a value that was loaded before or during a write is stored under
outdated generations and is never served, in any process, however late it is stored and whichever process dies.

A value whose load reads other cached values has their generations too, which were read before those values were.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Raw

from restwell.cache._invalidation import Invalidation
from restwell.cache._loads import Loader
from restwell.cache._memory import MISSING_SECONDS, Entry, Memory, with_jitter
from restwell.cache._metrics import CacheCollector, CacheStats
from restwell.cache._reads import Reads, current_reads, note_read
from restwell.cache._rows import RowRequest, Rows
from restwell.cache._store import LEASE_SECONDS, Generations, PendingWrite, Store, StoreLookup, StoreUnavailable
from restwell.cache._values import (
    LoadedValue,
    LoadRequest,
    StoredValue,
    decoder_of,
    fingerprint,
    stored_values,
    value_of,
)
from restwell.database import Transaction
from restwell.database._ambient import in_ambient_transaction
from restwell.observability._trace import note_cache, span

K = TypeVar("K")
T = TypeVar("T")

FIRST_PAUSE_SECONDS: Final = 0.002
LONGEST_PAUSE_SECONDS: Final = 0.05

_Outcome = Literal["bypass", "load", "refresh", "shared_hit", "wait"]
_HITS: Final = ("refresh", "shared_hit")


class InFlight(NamedTuple):
    """A load in progress, and the generations at its start."""

    generations: Generations
    task: "asyncio.Task[LoadedValue]"


class Cache:
    """Level 1 in this process, limited to ``max_bytes``; level 2 in the store.

    With ``enabled=False``, reads go to the database; writes still invalidate the caches of other processes.
    """

    def __init__(
        self, store: Store, *, max_bytes: int, load_timeout_seconds: float = 5.0, enabled: bool = True
    ) -> None:
        self._store = store
        self._memory = Memory(max_bytes)
        self._loader = Loader(load_timeout_seconds)
        self._rows = Rows(store, self._memory, self._loader)
        self._enabled = enabled
        self._in_flight: dict[str, InFlight] = {}
        self.metrics = CacheCollector(lambda: enabled and store.available)

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        await self._loader.close()
        await self._store.close()

    def get_nowait(self, key: str, stats: CacheStats, now: float) -> Any:
        """The value from level 1, if it is known to be current without I/O; else None, and ``get_or_load`` must be
        awaited. Not for a load, which would not depend on the value.
        """
        entry = self._memory.get(key)
        if entry is None or now >= entry.refresh_at:
            return None
        store = self._store
        if not store.available or not store.is_current_nowait(entry.generations):
            return None
        stats.hits += 1
        return entry.value

    async def get_or_load(
        self,
        key: str,
        load: Callable[[], Awaitable[T]],
        *,
        kind: Any,
        tags: Sequence[str],
        ttl_seconds: float | Callable[[T], float],
        name: str | None = None,
    ) -> T:
        """The value of ``key``, never older than the last acknowledged write to one of ``tags``.

        ``load`` reads the value from the primary, outside a transaction; concurrent callers share one load. It must
        read nothing that a write changes without invalidating one of ``tags``, except from this cache: the value is
        then outdated, and expires, with each value that it has read. ``kind`` is the type of the value. The value is
        shared: do not modify it. None is cached too, for at most MISSING_SECONDS. ``ttl_seconds`` may be a function of
        the value; a TTL of 0 is not cached. Inside an ambient transaction the value is loaded in it and not cached.
        ``name`` is the label of the metrics. Raises TooManyLoads, DeadlineExceeded, and the errors of ``load``.
        """
        name = name or _name(key)
        stats = self.metrics.stats[name]
        if not self._enabled or in_ambient_transaction():
            note_read(self._store, None)
            return await load()  # it may read uncommitted rows, which only that transaction may see
        entry = self._memory.get(key)
        outdated: set[Generations] = set()  # set[Generations]() would take ten times as long
        if (
            entry is not None
            and time.time() < entry.refresh_at
            and self._store.available
            and (self._store.is_current_nowait(entry.generations) or await self._has_current(entry, (), outdated))
        ):
            stats.hits += 1
            note_cache("hit")
            note_read(self._store, entry.generations, entry.expires_at)
            return cast("T", entry.value)
        ttl = ttl_seconds if callable(ttl_seconds) else lambda _: ttl_seconds
        request = LoadRequest(key, f"{key}|{fingerprint(kind)}", kind, tags, ttl, load, stats, outdated)
        try:
            with span(f"cache {name}", "cache") as found:
                loaded, outcome = await self._miss(request, entry)
                found.attributes["outcome"] = outcome
                note_cache("hit" if outcome in _HITS else "miss")
        except BaseException:
            note_read(self._store, None)  # an error is not cached, nor is what a load makes of it
            raise
        note_read(self._store, loaded.generations, loaded.expires_at)
        return cast("T", loaded.value)

    async def get_or_load_each(
        self,
        ids: Sequence[K],
        load: Callable[[K], Awaitable[T]],
        *,
        tag: Callable[[K], str],
        ttl_seconds: float,
    ) -> list[T]:
        """The value of each id, never older than the last acknowledged write to its tag.

        The generations of all are read with one request. The values that are missing are loaded at the same time, so
        that a query with ``batch_on`` reads them with one statement. They are cached in level 1. Otherwise as
        ``get_or_load``. The part of a tag before the colon is the label of the metrics.
        """
        if self.is_bypassed():
            return await asyncio.gather(*map(load, ids))
        if not ids:
            return []
        request = RowRequest(load, tag, ttl_seconds, self.metrics.stats[_name(tag(ids[0]))])
        try:
            return await self._rows.get(ids, request)
        except BaseException:
            note_read(self._store, None)
            raise

    def is_bypassed(self) -> bool:
        """Whether reads of this task go to the database. What is loaded meanwhile is not cached."""
        is_bypassed = not self._enabled or not self._store.available or in_ambient_transaction()
        if is_bypassed:
            note_read(self._store, None)
        return is_bypassed

    def invalidate(self, tx: Transaction, *tags: str) -> None:
        """Invalidate the tags when ``tx`` commits. The commit returns after every process sees it."""
        self._invalidation(tx).tags.update(dict.fromkeys(tags))
        for tag in tags:
            self.metrics.invalidations[_name(tag)] += 1

    def write(
        self, tx: Transaction, key: str, value: Any, *, kind: Any, tags: Sequence[str], ttl_seconds: float
    ) -> None:
        """Invalidate the tags when ``tx`` commits, then cache ``value`` under ``key``.

        The transaction must hold locks on everything in the value, such as the row that it updated.
        """
        self.invalidate(tx, *tags)
        request = LoadRequest(
            key,
            f"{key}|{fingerprint(kind)}",
            kind,
            tags,
            lambda _: ttl_seconds,
            _no_load,
            self.metrics.stats[_name(key)],
            set(),
        )

        async def deferred_set(write: PendingWrite) -> None:
            await self._set(request, value, tuple(write.generations[tag] for tag in tags), 0.0)

        self._invalidation(tx).deferred_sets.append(deferred_set)

    async def invalidate_now(self, *tags: str) -> None:
        """Invalidate the tags, outside a transaction.

        Without tags, invalidate the whole cache. Raises StoreUnavailable.
        """
        await self._store.invalidate(tags or None)

    async def _miss(self, request: LoadRequest, entry: Entry | None) -> tuple[LoadedValue, _Outcome]:
        stats = request.stats
        found = await self._get_stored(request)
        if found.generations is None:
            return await self._bypass(request), "bypass"
        if entry is None or not await self._has_current(entry, found.generations, request.outdated):
            stored = await self._decode(request, found)
            stats.stale_prevented += stored is None and (entry is not None or found.data is not None)
            entry = stored
        now = time.time()
        if entry is not None and now < entry.refresh_at:
            stats.shared_hits += 1
            return value_of(entry), "shared_hit"
        outcome: _Outcome = "wait"
        in_flight = self._in_flight.get(request.key)
        if in_flight is None or in_flight.generations != found.generations:
            expires_at = entry.expires_at if entry is not None else 0.0
            in_flight = InFlight(
                found.generations, self._loader.spawn(self._load_once(request, found.generations, expires_at))
            )
            self._in_flight[request.key] = in_flight
            outcome = "load"
            in_flight.task.add_done_callback(lambda task: self._load_finished(request.key, task))
        else:
            stats.waits += 1
        if entry is not None and now < entry.expires_at:
            return value_of(entry), "refresh"  # still valid; the load refreshes it in the background
        loaded = await asyncio.shield(in_flight.task)
        if outcome == "wait" and not await self._may_join(loaded, found.generations, request.outdated):
            return await self._bypass(request), "bypass"
        return loaded, outcome

    async def _may_join(self, loaded: LoadedValue, own: Generations, outdated: set[Generations]) -> bool:
        """Whether a load that began before this read may answer it. The generations of its tags, ``own``, were current
        then; the load may have read other cached values before the write that this read follows.
        """
        if loaded.generations is None:
            return False
        return len(loaded.generations) == len(own) or await self._are_current(loaded.generations, (), outdated)

    async def _bypass(self, request: LoadRequest) -> LoadedValue:
        request.stats.bypasses += 1
        return LoadedValue(await self._loader.load_after_now(request.key, request.load), None, 0.0)

    async def _get_stored(self, request: LoadRequest) -> StoreLookup:
        if not self._store.available:
            return StoreLookup(None, None)
        try:
            return await self._store.get(request.store_key, request.tags)
        except StoreUnavailable:
            return StoreLookup(None, None)

    async def _has_current(self, entry: Entry, own: Generations, outdated: set[Generations]) -> bool:
        """Whether the value is current. ``own`` are the current generations of its tags, if they are known."""
        generations = entry.generations
        return await self._are_current(generations, own, outdated) and entry.generations is generations  # not replaced

    async def _are_current(self, generations: Generations, own: Generations, outdated: set[Generations]) -> bool:
        """Whether the generations begin with ``own``, and the others are still current. Those that are not are added to
        ``outdated``, so that one read asks once for them.
        """
        count = len(own)
        if generations[:count] != own or (outdated and generations in outdated):
            return False
        others = generations[count:]
        if not others:
            return True
        is_current = self._store.is_current_nowait(others)
        if is_current is None:
            with suppress(StoreUnavailable):
                is_current = await self._store.is_current(others)
        if not is_current:
            outdated.add(generations)
        return bool(is_current)

    async def _decode(self, request: LoadRequest, found: StoreLookup) -> Entry | None:
        """The stored value, if it is current; also puts it into level 1."""
        if found.data is None or found.generations is None:
            return None
        try:
            stored = stored_values.decode(found.data)
            if stored.expires_at <= time.time():
                return None
            if not await self._are_current(stored.generations, found.generations, request.outdated):
                return None
            value = decoder_of(request.kind).decode(stored.value)
        except msgspec.DecodeError:
            return None
        return self._put(request, value, stored, len(found.data))

    def _put(self, request: LoadRequest, value: Any, stored: StoredValue, size: int) -> Entry:
        return self._memory.set(
            request.key, value, stored.generations, size, stored.expires_at, stored.seconds, request.stats
        )

    async def _load_once(
        self, request: LoadRequest, generations: Generations | None, known_until: float
    ) -> LoadedValue:
        """Load the value for all callers under these generations, or get it from the process that loads it."""
        leased = False
        reads = Reads(self._store)
        current_reads.set(reads)
        try:
            with suppress(StoreUnavailable):
                leased, generations, loaded = await self._acquire_lease(request, known_until)
                if loaded is not None:
                    return loaded
            request.stats.loads += 1
            value, seconds = await self._loader.run(request.load)
            if generations is not None:
                generations = reads.generations_with(generations)
            expires_at = 0.0
            if leased and generations is not None:
                expires_at = await self._set(request, value, generations, seconds, reads.expires_at)
                leased = not expires_at
            return LoadedValue(value, generations, expires_at)
        finally:
            if leased:
                with suppress(StoreUnavailable):
                    await self._store.release_lease(request.store_key)

    async def _acquire_lease(
        self, request: LoadRequest, known_until: float
    ) -> tuple[bool, Generations | None, LoadedValue | None]:
        """Acquire the lease, or wait for the value of the process that holds it.

        After LEASE_SECONDS without either, the caller loads the value and does not store it.
        """
        pause = FIRST_PAUSE_SECONDS
        deadline = time.monotonic() + LEASE_SECONDS
        while True:
            leased, found = await self._store.acquire_lease(request.store_key, request.tags)
            entry = await self._decode(request, found)
            if entry is not None and entry.expires_at > known_until:  # newer than the value to refresh
                loaded = value_of(entry)
                if leased:
                    await self._store.release_lease(request.store_key)
                return False, None, loaded
            if leased or found.generations is None or time.monotonic() > deadline:
                return leased, found.generations, None
            request.stats.waits += pause == FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def _set(
        self, request: LoadRequest, value: Any, generations: Generations, seconds: float, latest: float = math.inf
    ) -> float:
        """Store the value in both levels, until ``latest`` at most. Returns when it expires.

        0, with nothing stored, if its TTL is 0 or a tag was written to meanwhile.
        """
        ttl_seconds = request.ttl_seconds(value)
        if value is None:
            ttl_seconds = min(ttl_seconds, MISSING_SECONDS)
        now = time.time()
        ttl_seconds = min(with_jitter(ttl_seconds), latest - now)
        if ttl_seconds <= 0:
            return 0.0
        if self._store.is_current_nowait(generations) is False:
            request.stats.stale_prevented += 1
            return 0.0
        expires_at = now + ttl_seconds
        stored = StoredValue(generations, expires_at, seconds, Raw(msgspec.msgpack.encode(value)))
        data = msgspec.msgpack.encode(stored)
        self._put(request, value, stored, len(data))
        with suppress(StoreUnavailable):
            await self._store.set(request.store_key, data, ttl_seconds)
        return expires_at

    def _load_finished(self, key: str, task: "asyncio.Task[Any]") -> None:
        in_flight = self._in_flight.get(key)
        if in_flight is not None and in_flight.task is task:
            del self._in_flight[key]

    def _invalidation(self, tx: Transaction) -> Invalidation:
        for hook in tx.hooks:
            if isinstance(hook, Invalidation) and hook.store is self._store:
                return hook
        hook = Invalidation(self._store, self._loader.spawn)
        tx.hooks.append(hook)
        return hook


async def _no_load() -> None: ...


def _name(key: str) -> str:
    return key.partition(":")[0]
