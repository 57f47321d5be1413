"""While Redis is away, the database says so, to everyone, and keeps what must be forgotten when it is back.

One row tells whether the cache is suspended. A writer that does not reach Redis sets it in its own transaction, adds the tags it has
changed, and is acknowledged only when every process has seen it: each looks twice a second and believes what it saw for
TRUST_SECONDS at most. So a process that still reaches Redis never serves what a process that does not has changed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import structlog
from sqlalchemy import Column, Integer, MetaData, Table, Text, delete, func, insert, select, update

from restwell.database import Database, Id, Timestamp, Transaction, TransactionConflict, param, query
from restwell.ids import new_id

log = structlog.get_logger("restwell.cache")

POLL_SECONDS: Final = 0.5
TRUST_SECONDS: Final = 2.0
QUIET: Final = timedelta(seconds=3)
"""Resumed when nobody has had to note anything for so long: a writer that is still cut off would only suspend it again. Longer than
the first of them waits.
"""
MAX_TAGS: Final = 10_000
"""If more were noted, everything is forgotten."""


def suspension_tables(metadata: MetaData) -> tuple[Table, Table]:
    """The two tables, in the application's own metadata; a migration makes them, and one row: (1, NULL)."""
    suspension = Table(
        "cache_suspension",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("suspended_at", Timestamp),
    )
    pending = Table(
        "cache_pending_invalidations",
        metadata,
        Column("id", Id, primary_key=True),
        Column("tag", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
    )
    return suspension, pending


_suspension, _pending = suspension_tables(MetaData())
_since: Final = select(_suspension.c.suspended_at).where(_suspension.c.id == 1)

_maybe: Final = cast("type[datetime | None]", datetime)

_look: Final = query("cache.look", _since, into=_maybe)
_suspend: Final = query(
    "cache.suspend",
    update(_suspension)
    .where(_suspension.c.id == 1, _suspension.c.suspended_at.is_(None))
    .values(suspended_at=param("now")),
)
_hold: Final = query("cache.hold", _since.with_for_update(read=True), into=_maybe)
_lock: Final = query("cache.lock", _since.with_for_update(), into=_maybe)
_note: Final = query("cache.note", insert(_pending).values({c.name: param(c.name) for c in _pending.columns}))
_newest: Final = query("cache.newest", select(func.max(_pending.c.created_at).label("newest")), into=_maybe)
_tags: Final = query("cache.tags", select(_pending.c.tag).distinct().limit(param("count")), into=str)
_drop: Final = query("cache.drop", delete(_pending))
_resume: Final = query("cache.resume", update(_suspension).where(_suspension.c.id == 1).values(suspended_at=None))


class CacheSuspension:
    """What this process knows of it.

    ``since`` tells one suspension from the next; None, the cache may be used. ``trusted_until``, in monotonic seconds, is how long
    that counts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.since: datetime | None = None
        self.trusted_until = 0.0
        self._seen_at = 0.0

    async def look(self) -> None:
        """Ask the database. Raises ServiceUnavailable; then trust runs out by itself."""
        began = time.monotonic()
        self._see(await self._database.primary.one(_look))
        self.trusted_until = began + TRUST_SECONDS if self.since is None else 0.0

    async def note(self, tx: Transaction, tags: Sequence[str]) -> datetime:
        """In a writer's transaction: suspend the cache, unless it is, and keep the tags. Returns since when, for ``settle``."""
        now = datetime.now(UTC)
        since = now if await tx.run(_suspend, now=now) else await tx.one(_hold)
        if since is None:  # resumed in this very moment
            raise TransactionConflict
        await tx.run_many(_note, [{"id": new_id(), "tag": tag, "created_at": now} for tag in tags])
        return since

    async def note_alone(self, tags: Sequence[str]) -> datetime:
        """The same in a transaction of its own."""
        async with self._database.transaction() as tx:
            return await self.note(tx, tags)

    async def settle(self, since: datetime) -> None:
        """After the commit: return when every process has seen that suspension."""
        self._see(since)
        self.trusted_until = 0.0
        await asyncio.sleep(self._seen_at + TRUST_SECONDS - time.monotonic())

    async def drain(self, forget: Callable[[Sequence[str] | None], Awaitable[None]]) -> None:
        """Have everything noted forgotten, and resume, once it is quiet."""
        async with self._database.transaction() as tx:
            suspended = await tx.one(_lock) is not None
            if suspended:
                newest = await tx.one(_newest)
                if newest is not None and datetime.now(UTC) - newest < QUIET:
                    return
                tags = await tx.all(_tags, count=MAX_TAGS + 1)
                await forget(tags if len(tags) <= MAX_TAGS else None)
                await tx.run(_drop)
                await tx.run(_resume)
        if suspended:
            log.warning("cache_resumed")
        await self.look()

    def _see(self, since: datetime | None) -> None:
        if since != self.since:
            if since is not None:
                log.warning("cache_suspended", since=since.isoformat())
            self.since = since
            self._seen_at = time.monotonic()
