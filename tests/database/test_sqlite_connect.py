"""A connection to SQLite: it waits for the locks of other processes, and gets its turn."""

import asyncio
from pathlib import Path

import apsw
import pytest
from sqlalchemy import literal, select, text

from restwell.database import Database, DatabaseUnavailable, open_database, query
from restwell.database import _sqlite_connect as connect_module

one = query("test.one", select(literal(1).label("n")), into=int)
add = query("test.add", text("INSERT INTO t VALUES (1)"))
WRITES = 5


async def write_one_transaction_after_another(database: Database, committed: list[None]) -> None:
    while True:
        async with database.transaction() as tx:
            await tx.run(add)
            await asyncio.sleep(0.05)
        committed.append(None)


@pytest.mark.slow
async def test_a_writer_gets_its_turn_while_another_writes_one_transaction_after_another(tmp_path: Path) -> None:
    """Fails with ``PRAGMA busy_timeout`` in place of the handler: the other commits dozens of times for each write,
    or a write fails as DatabaseBusy.

    Two databases of one file in one process wait for each other as two processes do.
    """
    url = f"sqlite:///{tmp_path / 'x.db'}"
    async with open_database(url) as database, open_database(url) as other:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE t (n INTEGER)")
        committed: list[None] = []
        writing = asyncio.create_task(write_one_transaction_after_another(other, committed))
        while not committed:
            await asyncio.sleep(0.001)
        for _ in range(WRITES):
            await database.run(add)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert len(committed) < 20 * WRITES


@pytest.mark.slow
@pytest.mark.parametrize(("held_seconds", "opens"), [(0.3, True), (2.0, False)])
async def test_sqlite_waits_for_another_process_that_creates_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, held_seconds: float, opens: bool
) -> None:
    monkeypatch.setattr(connect_module, "BUSY_TIMEOUT_MS", 1_000)
    other = apsw.Connection(str(tmp_path / "x.db"))
    other.execute("BEGIN EXCLUSIVE")
    asyncio.get_running_loop().call_later(held_seconds, other.close)
    if opens:
        async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
            assert await database.one(one) == 1
    else:
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await open_database(f"sqlite:///{tmp_path / 'x.db'}").start()
        await asyncio.sleep(1.1)
