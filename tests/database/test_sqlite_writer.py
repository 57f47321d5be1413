"""The single writer of SQLite: the wait for it, and how long it is held."""

import asyncio
import time
from pathlib import Path

import apsw
import pytest
from sqlalchemy import column, insert, table

from restwell.database import open_database, param, query
from restwell.database._sqlite import _with_timeout

_note = query("writer.note", insert(table("notes", column("text"))).values(text=param("text")))


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
