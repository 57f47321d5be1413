"""The nightly clean-up, which every application has: what it deletes, what it keeps, and what a failure stops."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Column, Index, Integer, MetaData, Table, select

from restwell import App, Restwell
from restwell.database import Database, Migrations, Timestamp, open_database, query
from restwell.edge._context import Receive, Scope, Send
from restwell.idempotency import StoredResponse, execute_once
from restwell.ids import new_id
from restwell.jobs import JobRecord, JobState
from restwell.retention import BATCH, DeletesExpired, OwnsFolder, clean_up, delete_before
from restwell.settings import DatabaseSettings, FilesSettings, Settings
from restwell.testing import finish_jobs, running
from restwell.web import Feature

DAY: Final = timedelta(days=1)
SOMEONE: Final = new_id()
notes: Final = Table(
    "notes", MetaData(), Column("id", Integer, primary_key=True), Column("at", Timestamp), Index("notes_by_age", "at")
)
note_ids: Final = query("notes.ids", select(notes.c.id).order_by(notes.c.id), into=int)
delete_notes: Final = delete_before("notes.delete_before", notes.c.id, notes.c.at)


class Notes(DeletesExpired):
    """Keeps notes for a day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_expired(self, now: datetime) -> int:
        return await self._database.run(delete_notes, before=now - DAY)


class Broken(DeletesExpired):
    async def delete_expired(self, now: datetime) -> int:
        raise ZeroDivisionError(f"at {now}")


class Images(OwnsFolder):
    folder = "images"

    def __init__(self) -> None:
        self.existing: set[UUID] = set()

    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        assert len(ids) <= BATCH
        return [each for each in ids if each in self.existing]


class BrokenFolder(Images):
    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        raise LookupError(f"{len(ids)} images")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


def application(kit: Restwell, *services: object) -> App:
    return kit.app([Feature(services=services)])


def existing_application(kit: Restwell, *services: object) -> App:
    return kit.wrap(nothing, features=[Feature(services=services)])


@pytest.fixture
async def kit(empty_url: str, tiny_settings: Settings, tmp_path: Path) -> Restwell:
    async with open_database(empty_url) as database:
        await Migrations().upgrade(database)
        kind = "TIMESTAMPTZ" if database.dialect == "postgresql" else "INTEGER"
        async with database.transaction() as tx:
            await tx.run_script(f"CREATE TABLE notes (id INTEGER PRIMARY KEY, at {kind})")
    database_settings = DatabaseSettings(url=SecretStr(empty_url))
    return Restwell(
        tiny_settings.model_copy(
            update={"database": database_settings, "files": FilesSettings(dir=tmp_path / "files")}
        ),
        name="retention",
    )


async def clean(app: App) -> JobRecord:
    job_id = await app.kit.jobs.enqueue(app.kit.database, clean_up.with_options(max_attempts=1))
    await finish_jobs(app)
    return await app.kit.jobs.get(job_id)


async def add_notes(kit: Restwell, first: int, last: int, *, hours_ago: int) -> None:
    at = sql_of(kit, hours_ago=hours_ago)
    async with kit.database.transaction() as tx:
        await tx.run_script(
            f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
            f" INSERT INTO notes SELECT i, {at} FROM n"
        )


async def test_expired_rows_are_deleted_in_batches_until_none_is_left(kit: Restwell) -> None:
    """Breaks when the loop stops after a batch, and when the time is ignored."""
    async with running(app := application(kit, Notes)):
        await add_notes(kit, 1, 2 * BATCH + 1, hours_ago=25)
        await add_notes(kit, 2 * BATCH + 2, 2 * BATCH + 3, hours_ago=23)
        assert (await clean(app)).state == JobState.DONE
        assert await kit.database.all(note_ids) == [2 * BATCH + 2, 2 * BATCH + 3]


async def test_a_batch_deletes_the_oldest_rows(kit: Restwell) -> None:
    """Breaks without the limit: one transaction would delete millions of rows."""
    async with running(application(kit)):
        await add_notes(kit, 2, BATCH + 1, hours_ago=30)
        await add_notes(kit, 1, 1, hours_ago=29)
        deleted = await Notes(kit.database).delete_expired(datetime.now(UTC))
        assert (deleted, await kit.database.all(note_ids)) == (BATCH, [1])


@pytest.mark.parametrize("build", [application, existing_application])
async def test_every_application_deletes_idempotency_keys_after_a_day(
    kit: Restwell, build: Callable[[Restwell], App]
) -> None:
    """Breaks when ``kit.app`` or ``kit.wrap`` does not add the job: the table would grow forever."""
    async with running(app := build(kit)):
        assert app.kit.jobs.registered[clean_up.name].cron is not None
        for key in ("old", "new"):
            await request(kit, key)
        before = sql_of(kit, hours_ago=25)
        async with kit.database.transaction() as tx:
            await tx.run_script(f"UPDATE idempotency_keys SET created_at = {before} WHERE key = 'old'")
        assert (await clean(app)).state == JobState.DONE
        assert [(await request(kit, key)).replayed for key in ("new", "old")] == [True, False]


async def test_files_without_a_row_are_deleted_when_they_are_a_day_old(kit: Restwell, tmp_path: Path) -> None:
    """Breaks when the age is ignored: an upload whose row is not committed yet would lose its file."""
    images = Images()
    stored, orphan, uploading = (str(new_id()) for _ in range(3))
    images.existing = {UUID(stored)}
    folder = tmp_path / "files" / "images"
    async with running(app := application(kit, images)):
        for name in (stored, orphan, uploading, "thumbnails"):
            await kit.files.write(f"images/{name}/upload", b"content")
        past = time.time() - DAY.total_seconds() - 60
        for name in (stored, orphan, "thumbnails"):
            os.utime(folder / name, (past, past))
        assert (await clean(app)).state == JobState.DONE
    assert sorted(path.name for path in folder.iterdir()) == sorted([stored, uploading, "thumbnails"])


async def test_a_failing_service_does_not_stop_the_others_and_fails_the_job(kit: Restwell, tmp_path: Path) -> None:
    """Breaks when the first failure is raised at once, and when failures are only logged."""
    orphan = str(new_id())
    async with running(app := application(kit, Broken(), Notes, BrokenFolder(), Images())):
        await add_notes(kit, 1, 3, hours_ago=25)
        await kit.files.write(f"images/{orphan}/upload", b"content")
        os.utime(tmp_path / "files" / "images" / orphan, (0, 0))
        dead = await clean(app)
        assert await kit.database.all(note_ids) == []
        assert not (tmp_path / "files" / "images" / orphan).exists()
        (failure,) = await kit.jobs.failures(dead.id)
        assert dead.state == JobState.DEAD
        assert failure.error == "ExceptionGroup: the clean-up of Broken, BrokenFolder failed (2 sub-exceptions)"
        assert "ZeroDivisionError: at 20" in failure.traceback
        assert "LookupError: 1 images" in failure.traceback


def sql_of(kit: Restwell, *, hours_ago: int) -> str:
    if kit.database.dialect == "sqlite":
        return f"{(time.time() - hours_ago * 3_600) * 1e6:.0f}"
    return f"now() - interval '{hours_ago} hours'"


async def request(kit: Restwell, key: str) -> StoredResponse:
    async def operation() -> StoredResponse:
        return StoredResponse(201, {}, b"")

    return await execute_once(kit.database, SOMEONE, key, "POST /notes", b"", operation)
