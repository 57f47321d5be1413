"""Cache-aside that is never stale: a value counts only under the marks it was read under, and a write changes the marks.

A read takes the marks of its tags first, then the value from the database. A write closes its tags before the commit, which gives
them new marks, and opens them after it; while they are closed nothing is kept. So whatever was read before a write, or beside it, is
under marks that no longer hold, whoever keeps it, however late, and whichever process dies on the way.
"""

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from restwell.cache.invalidation import Invalidation
from restwell.cache.loads import Load, Loads
from restwell.cache.memory import Entry, Memory
from restwell.cache.metrics import CacheCollector, CacheStats
from restwell.cache.store import LEASE_SECONDS, Found, Marks, Store, StoreUnavailable, Write
from restwell.database import Transaction

T = TypeVar("T")

MISSING_SECONDS: Final = 5.0
JITTER: Final = 0.1
"""By up to this share a value expires earlier, so that what was read together is not read again together."""
FIRST_PAUSE_SECONDS: Final = 0.002
LONGEST_PAUSE_SECONDS: Final = 0.05


class _Stored(Struct, frozen=True, array_like=True):
    """A value as the store keeps it; ``seconds`` is how long the load took."""

    marks: Marks
    expires_at: float
    seconds: float
    value: Raw


class _Flight(NamedTuple):
    """A load that is under way, and the marks that held when it began."""

    marks: Marks
    task: "asyncio.Task[Any]"


class _Request(NamedTuple):
    """What is asked of the cache. ``kept_as`` is the key in the store: another release's values are not ours."""

    key: str
    kept_as: str
    kind: Any
    tags: Sequence[str]
    ttl_seconds: Callable[[Any], float]
    load: Load
    figures: CacheStats


class Cache:
    """Level one in this process, level two in the store, for values of at most ``max_bytes`` here.

    ``enabled=False`` reads everything from the database; writes still tell the others.
    """

    def __init__(self, store: Store, *, max_bytes: int, load_seconds: float = 5.0, enabled: bool = True) -> None:
        self._store = store
        self._memory = Memory(max_bytes)
        self._loads = Loads(load_seconds)
        self._enabled = enabled
        self._flights: dict[str, _Flight] = {}
        self.metrics = CacheCollector(lambda: enabled and store.usable)

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        await self._loads.close()
        await self._store.close()

    def peek(self, key: str, figures: CacheStats, now: float) -> Any:
        """The value, where it is known at once that it is current; None where ``get_or_load`` must be asked."""
        entry = self._memory.get(key)
        if entry is None or now >= entry.refresh_at:
            return None
        store = self._store
        if not store.usable or not store.holds(entry.marks):
            return None
        figures.hits += 1
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
        """The value under ``key``, as new as if it had been read from the database now.

        ``load`` reads it, once for all who ask meanwhile; outside transactions, and from the primary. It must read nothing that a
        write changes without invalidating one of ``tags``. ``kind`` is the value's type; the value is shared, so it must not be
        changed. None, for what is not there, is kept for MISSING_SECONDS at most. A function as ``ttl_seconds`` is told the value;
        at 0 it is not kept.
        """
        figures = self.metrics.of[name or _name(key)]
        if not self._enabled:
            return await load()
        entry = self._memory.get(key)
        if entry is not None and time.time() < entry.refresh_at and self._store.usable:
            holds = self._store.holds(entry.marks)
            if holds is None:
                with suppress(StoreUnavailable):
                    holds = await self._store.still_holds(entry.marks)
            if holds:
                figures.hits += 1
                return cast("T", entry.value)
        lives = ttl_seconds if callable(ttl_seconds) else lambda _: ttl_seconds
        return cast(
            "T", await self._miss(_Request(key, f"{key}|{_fingerprint(kind)}", kind, tags, lives, load, figures), entry)
        )

    def invalidate(self, tx: Transaction, *tags: str) -> None:
        """Let no value of these tags hold any more once ``tx`` has committed; its caller goes on only then."""
        self._invalidation(tx).tags.update(dict.fromkeys(tags))
        for tag in tags:
            self.metrics.invalidations[_name(tag)] += 1

    def write(
        self, tx: Transaction, key: str, value: Any, *, kind: Any, tags: Sequence[str], ttl_seconds: float
    ) -> None:
        """Invalidate the tags, and keep ``value`` instead of what was under ``key`` once ``tx`` has committed.

        Everything in it must be locked by the transaction, such as the row that it has updated.
        """
        self.invalidate(tx, *tags)
        request = _Request(
            key, f"{key}|{_fingerprint(kind)}", kind, tags, lambda _: ttl_seconds, _nothing, self.metrics.of[_name(key)]
        )

        async def renew(write: Write) -> None:
            await self._keep(request, value, tuple(write.marks[tag] for tag in tags), 0.0)

        self._invalidation(tx).renewals.append(renew)

    async def invalidate_now(self, *tags: str) -> None:
        """Let no value of these tags hold any more; without tags, no value at all."""
        await self._store.forget(tags or None)

    async def _miss(self, request: _Request, entry: Entry | None) -> Any:
        figures = request.figures
        found = await self._look(request)
        if found.marks is None:
            figures.bypasses += 1
            return await self._loads.fresh(request.key, request.load)
        if entry is None or entry.marks != found.marks:
            kept = self._kept(request, found)
            figures.stale_prevented += kept is None and (entry is not None or found.data is not None)
            entry = kept
        now = time.time()
        if entry is not None and now < entry.refresh_at:
            figures.shared_hits += 1
            return entry.value
        flight = self._flights.get(request.key)
        if flight is None or flight.marks != found.marks:
            flight = _Flight(
                found.marks,
                self._loads.spawn(self._fly(request, found.marks, entry.expires_at if entry is not None else 0.0)),
            )
            self._flights[request.key] = flight
            flight.task.add_done_callback(lambda task: self._land(request.key, task))
        else:
            figures.waits += 1
        if entry is not None and now < entry.expires_at:
            return entry.value  # it is being read anew, early
        return await asyncio.shield(flight.task)

    async def _look(self, request: _Request) -> Found:
        if not self._store.usable:
            return Found(None, None)
        try:
            return await self._store.look(request.kept_as, request.tags)
        except StoreUnavailable:
            return Found(None, None)

    def _kept(self, request: _Request, found: Found) -> Entry | None:
        """What the store had, if it holds; it is in memory then, too."""
        if found.data is None or found.marks is None:
            return None
        try:
            stored = _stored.decode(found.data)
            if stored.marks != found.marks or stored.expires_at <= time.time():
                return None
            value = _decoder(request.kind).decode(stored.value)
        except msgspec.DecodeError:
            return None
        return self._remember(request, value, stored, len(found.data))

    def _remember(self, request: _Request, value: Any, stored: _Stored, size: int) -> Entry:
        # XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015): read anew early by
        # the time of a load times a random number of exponential distribution. Drawn once here, where the paper draws at each hit.
        early = stored.seconds * -math.log(1.0 - random.random())  # noqa: S311  # no secret
        refresh_at = stored.expires_at - early
        entry = Entry(request.key, value, stored.marks, size, stored.expires_at, refresh_at, request.figures)
        self._memory.put(entry)
        return entry

    async def _fly(self, request: _Request, marks: Marks | None, known_until: float) -> Any:
        """Read the value for everyone who asks under these marks, or get it from the process that does."""
        leased = False
        try:
            with suppress(StoreUnavailable):
                leased, marks, entry = await self._lease(request, known_until)
                if entry is not None:
                    return entry.value
            request.figures.loads += 1
            value, seconds = await self._loads.run(request.load)
            if leased and marks is not None:
                leased = not await self._keep(request, value, marks, seconds)
            return value
        finally:
            if leased:
                with suppress(StoreUnavailable):
                    await self._store.release(request.kept_as)

    async def _lease(self, request: _Request, known_until: float) -> tuple[bool, Marks | None, Entry | None]:
        """Take the lease, or wait for what another process keeps. With neither in time, the value is ours to read and not to keep."""
        pause = FIRST_PAUSE_SECONDS
        latest = time.monotonic() + LEASE_SECONDS
        while True:
            leased, found = await self._store.lease(request.kept_as, request.tags)
            entry = self._kept(request, found)
            if entry is not None and entry.expires_at > known_until:  # newer than the one that is read anew
                if leased:
                    await self._store.release(request.kept_as)
                return False, None, entry
            if leased or found.marks is None or time.monotonic() > latest:
                return leased, found.marks, None
            request.figures.waits += pause == FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def _keep(self, request: _Request, value: Any, marks: Marks, seconds: float) -> bool:
        """Keep it here and for the others. False where it must not be: it is to live for no time, or something was written."""
        ttl_seconds = request.ttl_seconds(value)
        if value is None:
            ttl_seconds = min(ttl_seconds, MISSING_SECONDS)
        if ttl_seconds <= 0:
            return False
        if self._store.holds(marks) is False:
            request.figures.stale_prevented += 1
            return False
        ttl_seconds *= 1.0 - JITTER * random.random()  # noqa: S311  # no secret
        stored = _Stored(marks, time.time() + ttl_seconds, seconds, Raw(msgspec.msgpack.encode(value)))
        data = msgspec.msgpack.encode(stored)
        self._remember(request, value, stored, len(data))
        with suppress(StoreUnavailable):
            await self._store.keep(request.kept_as, data, ttl_seconds)
        return True

    def _land(self, key: str, task: "asyncio.Task[Any]") -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]

    def _invalidation(self, tx: Transaction) -> Invalidation:
        for hook in tx.hooks:
            if isinstance(hook, Invalidation) and hook.store is self._store:
                return hook
        hook = Invalidation(self._store, self._loads.spawn)
        tx.hooks.append(hook)
        return hook


async def _nothing() -> None: ...


def _name(key: str) -> str:
    return key.partition(":")[0]


@lru_cache(maxsize=1_024)
def _fingerprint(kind: Any) -> str:
    """Tells one shape of value from another, so that two releases can share a store."""
    return hashlib.blake2b(msgspec.json.encode(msgspec.json.schema(kind)), digest_size=6).hexdigest()


@lru_cache(maxsize=1_024)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind | None)


_stored: Final = msgspec.msgpack.Decoder(_Stored)
