"""The nightly job that deletes expired rows and orphaned files."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, delete, select

from restwell.database import Database, Query, Transaction, any_of, param, query
from restwell.files import Files
from restwell.idempotency import delete_keys_before
from restwell.ids import min_id_at
from restwell.jobs import JobContext, job
from restwell.web import Feature
from shop.audit.models import security_events
from shop.email_verifications.models import email_verifications
from shop.images.models import product_images
from shop.login_throttle.models import failed_attempts
from shop.login_throttle.service import RESET_AFTER
from shop.password_resets.models import password_resets
from shop.payments.models import payment_events
from shop.reports.models import reports
from shop.sessions.models import refresh_tokens, sessions
from shop.settings import ShopSettings

BATCH: Final = 1_000
"""Maximum number of rows deleted in one transaction."""
IDEMPOTENCY_KEY_RETENTION: Final = timedelta(hours=24)
"""How long a repeated request with the same key returns the stored response."""
PAYMENT_EVENT_RETENTION: Final = timedelta(days=7)
"""Longer than a gateway retries an undelivered event (Stripe: three days)."""
SECURITY_EVENT_RETENTION: Final = timedelta(days=366)
"""One day more than the database trigger requires."""
REPORT_RETENTION: Final = timedelta(days=30)
ORPHANED_FILE_AGE: Final = timedelta(days=1)
"""Minimum age of a file without a row. An upload writes the file before it inserts the row."""
EXPIRED_SESSION_RETENTION: Final = timedelta(days=7)
"""How long an expired session is stored, so that the reuse of a stolen refresh token is still detected."""

# UUIDv7 ids are ordered by time, so the oldest rows are a range of the primary key.
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
    """Deletes one batch, oldest first. The time column needs an index."""
    oldest = select(key).where(time < param("before")).order_by(time).limit(BATCH)
    return query(f"cleanup.{name}", delete(key.table).where(key.in_(oldest)))


delete_resets: Final = _delete_older("delete_resets", password_resets.c.code_hash, password_resets.c.expires_at)
delete_email_verifications: Final = _delete_older(
    "delete_email_verifications", email_verifications.c.code_hash, email_verifications.c.expires_at
)
delete_payment_events: Final = _delete_older("delete_payment_events", payment_events.c.id, payment_events.c.received_at)
delete_events: Final = _delete_older("delete_events", security_events.c.id, security_events.c.id)
delete_attempts: Final = _delete_older("delete_attempts", failed_attempts.c.key_hash, failed_attempts.c.last_failed_at)
delete_reports: Final = _delete_older("delete_reports", reports.c.id, reports.c.id)
existing_images: Final = query(
    "cleanup.existing_images",
    select(product_images.c.id).where(any_of(product_images.c.id, "ids")).limit(BATCH),
    into=UUID,
)
existing_reports: Final = query(
    "cleanup.existing_reports", select(reports.c.id).where(any_of(reports.c.id, "ids")).limit(BATCH), into=UUID
)


class Cleanup:
    def __init__(self, database: Database, files: Files, settings: ShopSettings) -> None:
        self._database = database
        self._files = files
        self._session_lifetime = timedelta(seconds=settings.jwt.refresh_ttl_seconds)

    async def run(self) -> None:
        """Delete expired rows in batches. Idempotent; safe to run while requests are served."""
        now = datetime.now(UTC)
        await _repeat_until_zero(lambda: self._database.in_transaction(lambda tx: self._sessions(tx, now)))
        await _repeat_until_zero(lambda: delete_keys_before(self._database, now - IDEMPOTENCY_KEY_RETENTION))
        await _repeat_until_zero(lambda: self._database.run(delete_resets, before=now))
        await _repeat_until_zero(lambda: self._database.run(delete_email_verifications, before=now))
        await _repeat_until_zero(
            lambda: self._database.run(delete_payment_events, before=now - PAYMENT_EVENT_RETENTION)
        )
        await _repeat_until_zero(
            lambda: self._database.run(delete_events, before=min_id_at(now - SECURITY_EVENT_RETENTION))
        )
        await _repeat_until_zero(lambda: self._database.run(delete_attempts, before=now - RESET_AFTER))
        await _repeat_until_zero(lambda: self._database.run(delete_reports, before=min_id_at(now - REPORT_RETENTION)))
        for folder, existing in (("images", existing_images), ("reports", existing_reports)):
            old_folders = await self._files.list_older_than(folder, ORPHANED_FILE_AGE.total_seconds())
            for start in range(0, len(old_folders), BATCH):
                ids = {UUID(name): name for name in old_folders[start : start + BATCH]}
                stored = set(await self._database.primary.all(existing, ids=list(ids)))
                for orphan in ids.keys() - stored:
                    await self._files.delete(f"{folder}/{ids[orphan]}")

    async def _sessions(self, tx: Transaction, now: datetime) -> int:
        """Delete one batch of expired sessions with their refresh tokens. Returns the number of sessions."""
        ids = await tx.all(old_sessions, before=min_id_at(now - self._session_lifetime - EXPIRED_SESSION_RETENTION))
        if ids:
            await tx.run(delete_tokens, ids=ids)
            await tx.run(delete_sessions, ids=ids)
        return len(ids)


@job(cron="15 3 * * *", timeout_seconds=3_600)
async def clean_up(context: JobContext) -> None:
    await context.get(Cleanup).run()


async def _repeat_until_zero(delete_batch: Callable[[], Awaitable[int]]) -> None:
    while await delete_batch():
        pass


cleanup: Final = Feature(services=[Cleanup], jobs=[clean_up], queries=[sys.modules[__name__]])
