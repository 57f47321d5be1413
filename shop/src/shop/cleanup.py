"""The nightly job that deletes expired rows and orphaned files. Each feature deletes its own rows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.database import Database
from restwell.files import Files
from restwell.idempotency import delete_keys_before
from restwell.jobs import JobContext, job
from restwell.web import Feature
from shop.retention import BATCH, DeletesExpired, OwnsFolder

IDEMPOTENCY_KEY_RETENTION: Final = timedelta(hours=24)
"""How long a repeated request with the same key returns the stored response."""
ORPHANED_FILE_AGE: Final = timedelta(days=1)
"""Minimum age of a file without a row. An upload writes the file before it inserts the row."""


class Cleanup:
    def __init__(
        self, database: Database, files: Files, expiring: Sequence[DeletesExpired], folders: Sequence[OwnsFolder]
    ) -> None:
        self._database = database
        self._files = files
        self._delete_expired = [self._delete_idempotency_keys, *(service.delete_expired for service in expiring)]
        self._folders = folders

    async def run(self) -> None:
        """Delete expired rows in batches. Idempotent; safe to run while requests are served."""
        now = datetime.now(UTC)
        for delete_batch in self._delete_expired:
            while await delete_batch(now):
                pass
        for owner in self._folders:
            await self._delete_orphans(owner)

    async def _delete_idempotency_keys(self, now: datetime) -> int:
        return await delete_keys_before(self._database, now - IDEMPOTENCY_KEY_RETENTION)

    async def _delete_orphans(self, owner: OwnsFolder) -> None:
        old_folders = await self._files.list_older_than(owner.folder, ORPHANED_FILE_AGE.total_seconds())
        for start in range(0, len(old_folders), BATCH):
            ids = {UUID(name): name for name in old_folders[start : start + BATCH]}
            for orphan in ids.keys() - set(await owner.find_existing(list(ids))):
                await self._files.delete(f"{owner.folder}/{ids[orphan]}")


@job(cron="15 3 * * *", timeout_seconds=3_600)
async def clean_up(context: JobContext) -> None:
    await context.get(Cleanup).run()


cleanup: Final = Feature(services=[Cleanup], jobs=[clean_up])
