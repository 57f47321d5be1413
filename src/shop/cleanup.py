"""What the shop forgets every night."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, delete, select

from restwell.database import Database, Query, Transaction, any_of, param, query
from restwell.files import Files
from restwell.ids import min_id_at
from restwell.jobs import JobContext, job
from shop.audit.models import security_events
from shop.email_verifications.models import email_verifications
from shop.images.models import product_images
from shop.orders.models import idempotency
from shop.password_resets.models import password_resets
from shop.payments.models import payment_events
from shop.reports.models import reports
from shop.sessions.login_throttle import RESET_AFTER
from shop.sessions.models import failed_attempts, refresh_tokens, sessions

BATCH: Final = 1_000
"""Rows that are deleted in one transaction."""
REPLAYS: Final = timedelta(hours=24)
"""How long an idempotency key gives its first answer."""
PAYMENT_EVENTS: Final = timedelta(days=7)
"""Longer than a gateway goes on sending one that it has no answer to."""
EVENTS: Final = timedelta(days=366)
"""A day longer than the database holds on to them."""
REPORTS: Final = timedelta(days=30)
ORPHANS: Final = timedelta(days=1)
"""How old a file without a row must be: the file of an upload is there before its row."""
GRACE: Final = timedelta(days=7)
"""How long an expired session stays, so that a stolen token that turns up late is still known for one."""

# Ids begin with the time, so what is old is the beginning of the primary key.
old_sessions: Final = query(
    "cleanup.old_sessions",
    select(sessions.c.id).where(sessions.c.id < param("before")).order_by(sessions.c.id).limit(BATCH),
    into=UUID,
)
delete_tokens: Final = query(
    "cleanup.delete_tokens", delete(refresh_tokens).where(any_of(refresh_tokens.c.session_id, "ids"))
)
delete_sessions: Final = query("cleanup.delete_sessions", delete(sessions).where(any_of(sessions.c.id, "ids")))


def _delete_older(name: str, key: Column[Any], time: Column[Any]) -> Query[None]:
    """The oldest rows of the key's table, by a column that has an index."""
    oldest = select(key).where(time < param("before")).order_by(time).limit(BATCH)
    return query(f"cleanup.{name}", delete(key.table).where(key.in_(oldest)))


delete_resets: Final = _delete_older("delete_resets", password_resets.c.code_hash, password_resets.c.expires_at)
delete_confirmations: Final = _delete_older(
    "delete_confirmations", email_verifications.c.code_hash, email_verifications.c.expires_at
)
delete_payment_events: Final = _delete_older("delete_payment_events", payment_events.c.id, payment_events.c.received_at)
delete_events: Final = _delete_older("delete_events", security_events.c.id, security_events.c.id)
delete_attempts: Final = _delete_older("delete_attempts", failed_attempts.c.key_hash, failed_attempts.c.last_failed_at)
delete_reports: Final = _delete_older("delete_reports", reports.c.id, reports.c.id)
images_there: Final = query(
    "cleanup.images_there",
    select(product_images.c.id).where(any_of(product_images.c.id, "ids")).limit(BATCH),
    into=UUID,
)
reports_there: Final = query(
    "cleanup.reports_there", select(reports.c.id).where(any_of(reports.c.id, "ids")).limit(BATCH), into=UUID
)


class Cleanup:
    def __init__(self, database: Database, files: Files, *, session_lifetime_seconds: int) -> None:
        self._database = database
        self._files = files
        self._session_lifetime = timedelta(seconds=session_lifetime_seconds)

    async def run(self) -> None:
        """Delete what nobody can use any more, some rows at a time, so that nobody waits for it. It may be run at any time."""
        now = datetime.now(UTC)
        await _until_none(lambda: self._database.in_transaction(lambda tx: self._sessions(tx, now)))
        await _until_none(lambda: idempotency.delete_before(self._database, now - REPLAYS))
        await _until_none(lambda: self._database.run(delete_resets, before=now))
        await _until_none(lambda: self._database.run(delete_confirmations, before=now))
        await _until_none(lambda: self._database.run(delete_payment_events, before=now - PAYMENT_EVENTS))
        await _until_none(lambda: self._database.run(delete_events, before=min_id_at(now - EVENTS)))
        await _until_none(lambda: self._database.run(delete_attempts, before=now - RESET_AFTER))
        await _until_none(lambda: self._database.run(delete_reports, before=min_id_at(now - REPORTS)))
        for folder, there in (("images", images_there), ("reports", reports_there)):
            found = await self._files.list_older_than(folder, ORPHANS.total_seconds())
            for start in range(0, len(found), BATCH):
                ids = {UUID(name): name for name in found[start : start + BATCH]}
                kept = set(await self._database.primary.all(there, ids=list(ids)))
                for orphan in ids.keys() - kept:
                    await self._files.delete(f"{folder}/{ids[orphan]}")

    async def _sessions(self, tx: Transaction, now: datetime) -> int:
        """Sessions that have expired a while ago, with their tokens; none lives longer than its lifetime."""
        ids = await tx.all(old_sessions, before=min_id_at(now - self._session_lifetime - GRACE))
        if ids:
            await tx.run(delete_tokens, ids=ids)
            await tx.run(delete_sessions, ids=ids)
        return len(ids)


@job(cron="15 3 * * *", timeout_seconds=3_600)
async def clean_up(context: JobContext) -> None:
    await context.get(Cleanup).run()


async def _until_none(delete_some: Callable[[], Awaitable[int]]) -> None:
    while await delete_some():
        pass
