"""Notifications on SQLite: a worker sees each commit of another process."""

import asyncio
import time
from pathlib import Path

import pytest

from restwell.database._sqlite import SqliteDatabase
from restwell.jobs._notifier.sqlite import SqliteNotifier


@pytest.mark.slow
async def test_a_wait_ends_with_the_commit_of_another_process_and_not_before(tmp_path: Path) -> None:
    """Breaks when the version is not remembered from one wait to the next: a commit between them would be missed."""
    path = tmp_path / "jobs.db"
    async with SqliteDatabase(path) as database, SqliteDatabase(path) as other:
        notifier = SqliteNotifier(database)
        await notifier.wait(["default"], 1, 0)
        assert await seconds_of(notifier, 0.2) >= 0.2, "nothing was committed"
        waiting = asyncio.create_task(seconds_of(notifier, 30))
        await asyncio.sleep(0.1)
        async with other.migration() as tx:
            await tx.run_script("CREATE TABLE one (id INTEGER)")
        assert await waiting < 10
        async with other.migration() as tx:
            await tx.run_script("CREATE TABLE two (id INTEGER)")
        assert await seconds_of(notifier, 30) < 10
        assert await seconds_of(notifier, 0.2) >= 0.2


async def test_a_wait_on_a_closed_database_takes_its_time_and_raises_nothing(tmp_path: Path) -> None:
    """Breaks when the error is not caught: the worker would end while its database is opened again."""
    notifier = SqliteNotifier(SqliteDatabase(tmp_path / "closed.db"))
    assert await seconds_of(notifier, 0.2) >= 0.2


async def seconds_of(notifier: SqliteNotifier, limit: float) -> float:
    began = time.monotonic()
    await notifier.wait(["default"], 1, limit)
    return time.monotonic() - began
