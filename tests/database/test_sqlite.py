"""SQLite: its single writer, its faults, and the data version that tells of the commits of other processes."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from sqlalchemy import column, func, insert, literal, select, table, text

from restwell.database import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    ForeignKeyViolation,
    open_database,
    param,
    query,
)
from restwell.database import _sqlite as sqlite_module
from restwell.database import _sqlite_backup as backup_module
from restwell.database import _sqlite_connect as connect_module
from restwell.database._sqlite import SqliteDatabase, _with_timeout

_note = query("writer.note", insert(table("notes", column("text"))).values(text=param("text")))
one = query("test.one", select(literal(1).label("n")), into=int)
count = query("test.count", select(func.count().label("n")).select_from(table("t")), into=int)
WRITE = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('INSERT INTO t VALUES (1)')"


async def test_a_cancellation_is_never_swallowed_by_a_wait_that_succeeds_at_the_same_moment() -> None:
    """Breaks with ``asyncio.wait_for`` before Python 3.12: a stopped worker then never ends."""
    for turns in range(5):
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def wait(turn: asyncio.Future[int] = turn) -> int:
            return await turn

        waiting = asyncio.create_task(_with_timeout(1_000, wait()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        turn.set_result(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            assert await waiting == 1


@pytest.mark.slow
async def test_one_statement_releases_the_write_lock_while_the_event_loop_is_blocked(tmp_path: Path) -> None:
    """Breaks when BEGIN, the statement and COMMIT are three calls of the thread.

    A job that blocked the event loop between two of them prevented the heartbeat from extending its lease.
    """
    file = tmp_path / "writer.db"
    async with open_database(f"sqlite:///{file}", 1) as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE notes (text TEXT)")
        write_task = asyncio.create_task(database.run(_note, text="first"))
        for _ in range(5):
            await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  # blocks the event loop on purpose
        other = apsw.Connection(str(file))
        other.execute("INSERT INTO notes VALUES ('second')")
        assert other.execute("SELECT text FROM notes ORDER BY rowid").fetchall() == [("first",), ("second",)]
        other.close()
        await write_task


async def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, but a text of some length " * 100)
    with pytest.raises(DatabaseUnavailable, match=r"text\.db"):
        await open_database(f"sqlite:///{tmp_path / 'text.db'}").start()


async def test_sqlite_limits_the_wait_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_MS", 100)
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        async with database.transaction():
            with pytest.raises(DatabaseBusy):
                await asyncio.create_task(database.run(_note, text="of another task"))
        async with database.transaction() as tx:
            assert await tx.one(one) == 1


async def test_an_sqlite_file_locked_by_another_process_raises_database_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "BUSY_TIMEOUT_MS", 100)
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        other = apsw.Connection(str(tmp_path / "x.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy):
            async with database.transaction():
                pass
        other.execute("ROLLBACK")
        other.close()
        async with database.transaction() as tx:
            assert await tx.one(one) == 1


async def test_sqlite_commits_durably_and_checks_foreign_keys(tmp_path: Path) -> None:
    """Breaks when a script stops at the first statement that returns a row, as a PRAGMA does: the defaults then
    apply."""
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        expected: dict[str, int | str] = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        for name, value in expected.items():
            pragma = query("test.pragma", text(f"SELECT {name} FROM pragma_{name}"), into=str)
            assert await database.one(pragma) == value


async def test_sqlite_reuses_its_readers(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        assert await asyncio.gather(*(database.one(one) for _ in range(20))) == [1] * 20


async def test_sqlite_raises_programming_errors_unchanged(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE t (n INTEGER NOT NULL CHECK (n > 0))")
        for statement in ("INSERT INTO t VALUES (0)", "INSERT INTO t VALUES (NULL)"):
            with pytest.raises(apsw.ConstraintError):
                async with database.transaction() as tx:
                    await tx.run_script(statement)
        with pytest.raises(apsw.SQLError):
            async with database.transaction() as tx:
                await tx.run_script("SELECT nonsense FROM nowhere")


async def test_sqlite_is_unavailable_on_a_full_disk_and_recovers(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE t (text TEXT)")
        await set_max_pages(database, 10)
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as tx:
                for _ in range(100):
                    await tx.run_script("INSERT INTO t VALUES (hex(randomblob(5000)))")
        assert await database.one(count) == 0
        await set_max_pages(database, 1_000_000)
        async with database.transaction() as tx:
            await tx.run_script("INSERT INTO t VALUES (hex(randomblob(5000)))")
        assert await database.one(count) == 1


async def set_max_pages(database: Database, pages: int) -> None:
    async with database.transaction() as tx:
        await tx.run_script(f"PRAGMA max_page_count = {pages}")


async def test_sqlite_rolls_back_a_transaction_it_cannot_commit(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE p (id INTEGER PRIMARY KEY)")
            await tx.run_script("CREATE TABLE t (p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        with pytest.raises(ForeignKeyViolation):
            async with database.transaction() as tx:
                await tx.run_script("INSERT INTO t VALUES (1)")
        assert await database.one(count) == 0
        async with database.transaction() as tx:
            await tx.run_script("INSERT INTO p VALUES (1)")
            await tx.run_script("INSERT INTO t VALUES (1)")
        assert await database.one(count) == 1


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


async def test_a_backup_replaces_the_rest_of_a_killed_one_and_a_failed_one_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the draft of a killed backup remains: SQLite copies into new files only."""
    async with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        assert isinstance(database, SqliteDatabase)
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE t (n INTEGER)")
            await tx.run_script("INSERT INTO t VALUES (1)")
        folder = tmp_path / "backups"
        folder.mkdir()
        (folder / ".copy.db.part").write_bytes(b"half")
        await database.backup(folder / "copy.db")
        assert [file.name for file in folder.iterdir()] == ["copy.db"]
        async with open_database(f"sqlite:///{folder / 'copy.db'}") as copy:
            assert await copy.one(count) == 1
        monkeypatch.setattr(backup_module, "_verify", lambda _: (_ for _ in ()).throw(DatabaseUnavailable("corrupt")))
        with pytest.raises(DatabaseUnavailable):
            await database.backup(folder / "other.db")
        with pytest.raises(DatabaseUnavailable):
            await database.backup(tmp_path / "missing" / "copy.db")
        assert [file.name for file in folder.iterdir() if file.name.endswith((".part", "other.db"))] == []
