"""A read-through cache that never serves a stale value.

Each tag has a generation, a random number that every write changes. A read gets the generations of its tags first and
loads the value from the database second. A write begins before its commit: it changes the generations of its tags and
blocks caching of them; it ends after the commit. So a value that was loaded before or during a write is stored under
outdated generations and is never served, in any process, however late it is stored and whichever process dies.
"""

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from restwell.cache._invalidation import Invalidation
from restwell.cache._loads import Load, Loader
from restwell.cache._memory import Entry, Memory
from restwell.cache._metrics import CacheCollector, CacheStats
from restwell.cache._store import LEASE_SECONDS, Generations, PendingWrite, Store, StoreLookup, StoreUnavailable
from restwell.database import Transaction
from restwell.database._ambient import in_ambient_transaction
from restwell.observability._trace import note_cache, span

T = TypeVar("T")

MISSING_SECONDS: Final = 5.0
JITTER: Final = 0.1
"""A TTL is shortened by a random fraction of up to this, so that values that were loaded together do not expire
together.
"""
FIRST_PAUSE_SECONDS: Final = 0.002
LONGEST_PAUSE_SECONDS: Final = 0.05

_Outcome = Literal["bypass", "load", "refresh", "shared_hit", "wait"]
_HITS: Final = ("refresh", "shared_hit")


class _Stored(Struct, frozen=True, array_like=True):
    """The stored form of a value; ``seconds`` is the duration of its load."""

    generations: Generations
    expires_at: float
    seconds: float
    value: Raw


class InFlight(NamedTuple):
    """A load in progress, and the generations at its start."""

    generations: Generations
    task: "asyncio.Task[Any]"


class _LoadRequest(NamedTuple):
    """The arguments of ``get_or_load``.

    ``store_key`` includes a fingerprint of the type, so that two releases can share a store.
    """

    key: str
    store_key: str
    kind: Any
    tags: Sequence[str]
    ttl_seconds: Callable[[Any], float]
    load: Load
    stats: CacheStats
    name: str


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
        awaited.
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
        read nothing that a write changes without invalidating one of ``tags``. ``kind`` is the type of the value. The
        value is shared: do not modify it. None is cached too, for at most MISSING_SECONDS. ``ttl_seconds`` may be a
        function of the value; a TTL of 0 is not cached. Inside an ambient transaction the value is loaded in it and not
        cached. ``name`` is the label of the metrics. Raises TooManyLoads,
        DeadlineExceeded, and the errors of ``load``.
        """
        name = name or _name(key)
        stats = self.metrics.stats[name]
        if not self._enabled or in_ambient_transaction():
            return await load()  # it may read uncommitted rows, which only that transaction may see
        entry = self._memory.get(key)
        if entry is not None and time.time() < entry.refresh_at and self._store.available:
            is_current = self._store.is_current_nowait(entry.generations)
            if is_current is None:
                with suppress(StoreUnavailable):
                    is_current = await self._store.is_current(entry.generations)
            if is_current:
                stats.hits += 1
                note_cache("hit")
                return cast("T", entry.value)
        ttl = ttl_seconds if callable(ttl_seconds) else lambda _: ttl_seconds
        request = _LoadRequest(key, f"{key}|{_fingerprint(kind)}", kind, tags, ttl, load, stats, name)
        with span(f"cache {name}", "cache") as found:
            value, outcome = await self._miss(request, entry)
            found.attributes["outcome"] = outcome
            note_cache("hit" if outcome in _HITS else "miss")
        return cast("T", value)

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
        request = _LoadRequest(
            key,
            f"{key}|{_fingerprint(kind)}",
            kind,
            tags,
            lambda _: ttl_seconds,
            _no_load,
            self.metrics.stats[_name(key)],
            _name(key),
        )

        async def deferred_set(write: PendingWrite) -> None:
            await self._set(request, value, tuple(write.generations[tag] for tag in tags), 0.0)

        self._invalidation(tx).deferred_sets.append(deferred_set)

    async def invalidate_now(self, *tags: str) -> None:
        """Invalidate the tags, outside a transaction.

        Without tags, invalidate the whole cache. Raises StoreUnavailable.
        """
        await self._store.invalidate(tags or None)

    async def _miss(self, request: _LoadRequest, entry: Entry | None) -> tuple[Any, _Outcome]:
        stats = request.stats
        found = await self._get_stored(request)
        if found.generations is None:
            stats.bypasses += 1
            return await self._loader.load_after_now(request.key, request.load), "bypass"
        if entry is None or entry.generations != found.generations:
            stored = self._decode(request, found)
            stats.stale_prevented += stored is None and (entry is not None or found.data is not None)
            entry = stored
        now = time.time()
        if entry is not None and now < entry.refresh_at:
            stats.shared_hits += 1
            return entry.value, "shared_hit"
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
            return entry.value, "refresh"  # still valid; the load refreshes it in the background
        return await asyncio.shield(in_flight.task), outcome

    async def _get_stored(self, request: _LoadRequest) -> StoreLookup:
        if not self._store.available:
            return StoreLookup(None, None)
        try:
            return await self._store.get(request.store_key, request.tags)
        except StoreUnavailable:
            return StoreLookup(None, None)

    def _decode(self, request: _LoadRequest, found: StoreLookup) -> Entry | None:
        """The stored value, if it is current; also puts it into level 1."""
        if found.data is None or found.generations is None:
            return None
        try:
            stored = _stored.decode(found.data)
            if stored.generations != found.generations or stored.expires_at <= time.time():
                return None
            value = _decoder(request.kind).decode(stored.value)
        except msgspec.DecodeError:
            return None
        return self._put(request, value, stored, len(found.data))

    def _put(self, request: _LoadRequest, value: Any, stored: _Stored, size: int) -> Entry:
        # XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015):
        # refresh early by the duration of a load times an exponentially distributed random number. Drawn once here; the
        # paper draws at each hit.
        early = stored.seconds * -math.log(1.0 - random.random())  # noqa: S311  # no secret
        refresh_at = stored.expires_at - early
        entry = Entry(request.key, value, stored.generations, size, stored.expires_at, refresh_at, request.stats)
        self._memory.put(entry)
        return entry

    async def _load_once(self, request: _LoadRequest, generations: Generations | None, known_until: float) -> Any:
        """Load the value for all callers under these generations, or get it from the process that loads it."""
        leased = False
        try:
            with suppress(StoreUnavailable):
                leased, generations, entry = await self._acquire_lease(request, known_until)
                if entry is not None:
                    return entry.value
            request.stats.loads += 1
            value, seconds = await self._loader.run(request.load)
            if leased and generations is not None:
                leased = not await self._set(request, value, generations, seconds)
            return value
        finally:
            if leased:
                with suppress(StoreUnavailable):
                    await self._store.release_lease(request.store_key)

    async def _acquire_lease(
        self, request: _LoadRequest, known_until: float
    ) -> tuple[bool, Generations | None, Entry | None]:
        """Acquire the lease, or wait for the value of the process that holds it.

        After LEASE_SECONDS without either, the caller loads the value and does not store it.
        """
        pause = FIRST_PAUSE_SECONDS
        deadline = time.monotonic() + LEASE_SECONDS
        while True:
            leased, found = await self._store.acquire_lease(request.store_key, request.tags)
            entry = self._decode(request, found)
            if entry is not None and entry.expires_at > known_until:  # newer than the value to refresh
                if leased:
                    await self._store.release_lease(request.store_key)
                return False, None, entry
            if leased or found.generations is None or time.monotonic() > deadline:
                return leased, found.generations, None
            request.stats.waits += pause == FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def _set(self, request: _LoadRequest, value: Any, generations: Generations, seconds: float) -> bool:
        """Store the value in both levels.

        False, with nothing stored, if its TTL is 0 or a tag was written to meanwhile.
        """
        ttl_seconds = request.ttl_seconds(value)
        if value is None:
            ttl_seconds = min(ttl_seconds, MISSING_SECONDS)
        if ttl_seconds <= 0:
            return False
        if self._store.is_current_nowait(generations) is False:
            request.stats.stale_prevented += 1
            return False
        ttl_seconds *= 1.0 - JITTER * random.random()  # noqa: S311  # no secret
        stored = _Stored(generations, time.time() + ttl_seconds, seconds, Raw(msgspec.msgpack.encode(value)))
        data = msgspec.msgpack.encode(stored)
        self._put(request, value, stored, len(data))
        with suppress(StoreUnavailable):
            await self._store.set(request.store_key, data, ttl_seconds)
        return True

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


@lru_cache(maxsize=1_024)
def _fingerprint(kind: Any) -> str:
    return hashlib.blake2b(
        msgspec.json.encode(msgspec.json.schema(kind, schema_hook=_custom_schema)), digest_size=6
    ).hexdigest()


def _custom_schema(kind: type) -> dict[str, Any]:
    """Of a custom type, such as EmailAddress, whose values are plain ones."""
    return {"title": kind.__qualname__}


@lru_cache(maxsize=1_024)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind | None)


_stored: Final = msgspec.msgpack.Decoder(_Stored)
