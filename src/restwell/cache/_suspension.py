"""Suspension of the cache while Redis is unavailable, coordinated through the database.

One row records whether the cache is suspended. A writer that cannot reach Redis sets it in its own transaction and
records the tags that it changed. Its commit is acknowledged only when every process has seen the suspension: each
process polls the row twice a second and trusts the result for at most TRUST_SECONDS. So a process that still reaches
Redis never serves a value that a process without Redis has changed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import structlog
from sqlalchemy import Column, Integer, Table, Text, delete, func, select, update

from restwell._metadata import metadata
from restwell.database import Database, Id, Timestamp, Transaction, TransactionConflict, insert_row, param, query
from restwell.database._ambient import no_ambient_transaction
from restwell.ids import new_id

log = structlog.get_logger("restwell.cache")

POLL_SECONDS: Final = 0.5
TRUST_SECONDS: Final = 2.0
QUIET_PERIOD: Final = timedelta(seconds=3)
"""The cache resumes after no writer has recorded a tag for this long. A writer that still cannot reach Redis would
suspend it again.

Longer than TRUST_SECONDS, the time that the first of them waits.
"""
MAX_TAGS: Final = 10_000
"""If more tags were recorded, the whole cache is invalidated."""


_suspension: Final = Table(  # one row, with the id 1
    "cache_suspension",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("suspended_at", Timestamp),
)
_pending: Final = Table(
    "cache_pending_invalidations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tag", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)
_suspended_at: Final = select(_suspension.c.suspended_at).where(_suspension.c.id == 1)

_datetime_or_none: Final = cast("type[datetime | None]", datetime)

_get: Final = query("cache_suspension.get", _suspended_at, into=_datetime_or_none)
_begin: Final = query(
    "cache_suspension.begin",
    update(_suspension)
    .where(_suspension.c.id == 1, _suspension.c.suspended_at.is_(None))
    .values(suspended_at=param("now")),
)
_get_for_share: Final = query(
    "cache_suspension.get_for_share", _suspended_at.with_for_update(read=True), into=_datetime_or_none
)
_get_for_update: Final = query(
    "cache_suspension.get_for_update", _suspended_at.with_for_update(), into=_datetime_or_none
)
_insert_pending: Final = query("cache_pending_invalidations.insert", insert_row(_pending))
_newest_pending: Final = query(
    "cache_pending_invalidations.newest",
    select(func.max(_pending.c.created_at).label("newest")),
    into=_datetime_or_none,
)
_list_pending: Final = query(
    "cache_pending_invalidations.list_tags", select(_pending.c.tag).distinct().limit(param("count")), into=str
)
_delete_pending: Final = query("cache_pending_invalidations.delete_all", delete(_pending))
_end: Final = query("cache_suspension.end", update(_suspension).where(_suspension.c.id == 1).values(suspended_at=None))


class CacheSuspension:
    """The suspension as this process knows it.

    ``suspended_at`` identifies a suspension; None: the cache may be used. This is valid until ``trusted_until``, in
    monotonic seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.suspended_at: datetime | None = None
        self.trusted_until = 0.0
        self._observed_at = 0.0

    async def refresh(self) -> None:
        """Read the row. Raises ServiceUnavailable; the last result then stays valid until ``trusted_until``."""
        started_at = time.monotonic()
        self._observe(await self._database.primary.one(_get))
        self.trusted_until = started_at + TRUST_SECONDS if self.suspended_at is None else 0.0

    async def suspend(self, tx: Transaction, tags: Sequence[str]) -> datetime:
        """In the transaction of a writer: suspend the cache, unless it is suspended, and record the tags.

        Return ``suspended_at``, the argument of ``wait_until_visible``.
        """
        now = datetime.now(UTC)
        suspended_at = now if await tx.run(_begin, now=now) else await tx.one(_get_for_share)
        if suspended_at is None:  # the suspension ended between the two statements
            raise TransactionConflict
        await tx.run_many(_insert_pending, [{"id": new_id(), "tag": tag, "created_at": now} for tag in tags])
        return suspended_at

    async def suspend_now(self, tags: Sequence[str]) -> datetime:
        """``suspend`` in a transaction of its own, repeated if a suspension ends meanwhile."""
        with no_ambient_transaction():
            return await self._database.in_transaction(lambda tx: self.suspend(tx, tags))

    async def wait_until_visible(self, suspended_at: datetime) -> None:
        """After the commit of ``suspend``: return when every process has seen the suspension."""
        self._observe(suspended_at)
        self.trusted_until = 0.0
        await asyncio.sleep(self._observed_at + TRUST_SECONDS - time.monotonic())

    async def resume(self, invalidate: Callable[[Sequence[str] | None], Awaitable[None]]) -> None:
        """Invalidate the recorded tags and end the suspension, if no tag was recorded during the last QUIET_PERIOD."""
        async with self._database.transaction() as tx:
            suspended = await tx.one(_get_for_update) is not None
            if suspended:
                newest = await tx.one(_newest_pending)
                if newest is not None and datetime.now(UTC) - newest < QUIET_PERIOD:
                    return
                tags = await tx.all(_list_pending, count=MAX_TAGS + 1)
                await invalidate(tags if len(tags) <= MAX_TAGS else None)
                await tx.run(_delete_pending)
                await tx.run(_end)
        if suspended:
            log.warning("cache_resumed")
        await self.refresh()

    def _observe(self, suspended_at: datetime | None) -> None:
        if suspended_at != self.suspended_at:
            if suspended_at is not None:
                log.warning("cache_suspended", suspended_at=suspended_at.isoformat())
            self.suspended_at = suspended_at
            self._observed_at = time.monotonic()
