"""Retention times: the nightly job of every application, which deletes expired rows, and files without a row."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import Column, delete, select

from restwell.database import Database, Query, param, query
from restwell.events import Events
from restwell.files import Files
from restwell.idempotency import delete_keys_before
from restwell.jobs import JobContext, job
from restwell.web import Feature

__all__ = ["BATCH", "Cleanup", "DeletesExpired", "OwnsFolder", "clean_up", "delete_before"]

BATCH: Final = 1_000
"""Maximum number of rows deleted in one transaction."""
IDEMPOTENCY_KEY_RETENTION: Final = timedelta(hours=24)
"""How long a repeated request with the same key returns the stored response."""
ORPHANED_FILE_AGE: Final = timedelta(days=1)
"""Minimum age of a file without a row. An upload writes the file before it inserts the row."""


def delete_before(name: str, key: Column[Any], time: Column[Any]) -> Query[None]:
    """Build the query that deletes one batch, oldest first. The column ``time`` needs an index."""
    oldest = select(key).where(time < param("before")).order_by(time).limit(BATCH)
    return query(name, delete(key.table).where(key.in_(oldest)))


class DeletesExpired(ABC):
    """A service with rows that expire. The nightly job calls it."""

    @abstractmethod
    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of the rows that are expired at ``now``. Returns their number, at last 0."""


class OwnsFolder(ABC):
    """A service with files in ``folder``, below folders named by an id. The nightly job deletes those without a row."""

    folder: ClassVar[str]

    @abstractmethod
    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of at most BATCH ids that have a row."""


class Cleanup:
    """Calls each service that is a DeletesExpired or an OwnsFolder. ``kit.app`` and ``kit.wrap`` add it."""

    def __init__(self, files: Files, expiring: Sequence[DeletesExpired], folders: Sequence[OwnsFolder]) -> None:
        self._files = files
        self._expiring = expiring
        self._folders = folders

    async def run(self) -> None:
        """Delete what is expired, in batches. Idempotent; safe to run while requests are served.

        If a service fails, the others are still called. Raises ExceptionGroup with all failures then.
        """
        now = datetime.now(UTC)
        failures: list[tuple[str, Exception]] = []
        for service in self._expiring:
            with _collecting(failures, service):
                while await service.delete_expired(now):
                    pass
        for owner in self._folders:
            with _collecting(failures, owner):
                await self._delete_orphans(owner)
        if failures:
            names, errors = zip(*failures, strict=True)
            raise ExceptionGroup(f"the clean-up of {', '.join(names)} failed", errors)

    async def _delete_orphans(self, owner: OwnsFolder) -> None:
        old = await self._files.list_older_than(owner.folder, ORPHANED_FILE_AGE.total_seconds())
        names = {}
        for name in old:
            with suppress(ValueError):  # not named by an id: it is none of the service's
                names[UUID(name)] = name
        ids = list(names)
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            for orphan in set(batch) - set(await owner.find_existing(batch)):
                await self._files.delete(f"{owner.folder}/{names[orphan]}")


@contextmanager
def _collecting(failures: list[tuple[str, Exception]], service: object) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # raised at the end of the clean-up
        failures.append((type(service).__qualname__, error))


class _IdempotencyKeys(DeletesExpired):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_expired(self, now: datetime) -> int:
        return await delete_keys_before(self._database, now - IDEMPOTENCY_KEY_RETENTION)


class _ExpiredEvents(DeletesExpired):
    def __init__(self, events: Events) -> None:
        self._events = events

    async def delete_expired(self, now: datetime) -> int:  # noqa: ARG002  # each event has its own time
        return await self._events.delete_expired()


@job(name="restwell.clean_up", cron="15 3 * * *", timeout_seconds=3_600)  # no function of an application has a dot
async def clean_up(context: JobContext) -> None:
    """Delete expired rows, and files without a row."""
    await context.get(Cleanup).run()


FEATURE: Final = Feature(services=[Cleanup, _ExpiredEvents, _IdempotencyKeys], jobs=[clean_up])
"""Added to every application."""
