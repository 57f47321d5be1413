"""SQLite's data version, which tells a process that another one has committed."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restwell.database import DatabaseUnavailable
from restwell.database._sqlite import SqliteDatabase

WRITE = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('INSERT INTO t VALUES (1)')"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "x.db") as opened:
        async with opened.transaction() as tx:
            await tx.run_script("CREATE TABLE t (n INTEGER)")
        yield opened


async def test_the_data_version_changes_with_every_commit_and_with_nothing_else(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    """Breaks when the connection of the writer is used: its own commits do not change the value."""
    seen = [database.data_version()]
    assert database.data_version() == seen[-1]
    async with database.transaction() as tx:
        await tx.run_script("INSERT INTO t VALUES (1)")
        assert database.data_version() == seen[-1], "not before the commit"
    seen.append(database.data_version())
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", WRITE, str(tmp_path / "x.db")], check=True)
    seen.append(database.data_version())
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.run_script("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError
    assert database.data_version() == seen[-1], "nor for what was rolled back"
    assert len(set(seen)) == 3


async def test_the_data_version_is_unavailable_before_start_and_after_close(tmp_path: Path) -> None:
    closed = SqliteDatabase(tmp_path / "x.db")
    with pytest.raises(DatabaseUnavailable):
        closed.data_version()
    async with closed:
        assert closed.data_version() > 0
    with pytest.raises(DatabaseUnavailable):
        closed.data_version()
