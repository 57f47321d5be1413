"""An unavailable, locked or refusing database: a clear error in time, and recovery."""

import asyncio
import socket
from pathlib import Path

import apsw
import asyncpg
import pytest
from sqlalchemy import func, literal, select, table, text

from restwell.database import Database, DatabaseBusy, DatabaseUnavailable, open_database, param, query
from restwell.database import _postgres as postgres_module
from restwell.database import _sqlite as sqlite_module
from servers import free_port, postgres, postgres_programs, restwell
from tiny.environment import tiny_environment

one = query("test.one", select(literal(1).label("n")), into=int)
count = query("test.count", select(func.count().label("n")).select_from(table("t")), into=int)
plus_one = query("test.plus_one", select((param("n") + literal(1)).label("n")), into=int)
sleep = query("test.sleep", {"postgresql": text("SELECT pg_sleep(30)"), "sqlite": text("SELECT 1")}, into=int)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:secret-word@127.0.0.1:{port}/d", "127.0.0.1"),
        ("sqlite:////proc/none/x.db", "/proc/none/x.db"),
    ],
)
async def test_an_unreachable_database_is_named_without_its_password(url: str, reason: str) -> None:
    database = open_database(url.format(port=free_port()))
    with pytest.raises(DatabaseUnavailable) as raised:
        await database.start()
    assert reason in raised.value.detail
    assert "secret-word" not in raised.value.detail
    await database.close()


async def test_an_unknown_database_or_user_is_named(postgres_server: str) -> None:
    for url in (f"{postgres_server.rpartition('/')[0]}/missing", postgres_server.replace("restwell@", "stranger@")):
        with pytest.raises(DatabaseUnavailable, match="does not exist"):
            await open_database(url).start()


@pytest.mark.integration
async def test_a_wrong_password_is_reported_in_one_line_without_it(tmp_path: Path) -> None:
    if postgres_programs() is None:
        pytest.skip("needs a server that is not on this machine: PostgreSQL (apt-get install postgresql)")
    with postgres() as server:
        server.ask_for_a_password("guarded", "the right one")
        url = server.url.replace("restwell@", "guarded:the-wrong-one@")
        refused = await asyncio.to_thread(
            restwell, "serve", cwd=tmp_path, **tiny_environment(url), PORT=str(free_port())
        )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    where = server.url.partition("@")[2]
    assert refused.stderr.startswith(
        f'restwell: DATABASE_URL: PostgreSQL at {where}: password authentication failed for user "guarded"; check'
    )
    assert "the-wrong-one" not in refused.stdout


async def test_connecting_to_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "CONNECT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DatabaseUnavailable):
            await open_database(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d").start()


async def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, but a text of some length " * 100)
    with pytest.raises(DatabaseUnavailable, match=r"text\.db"):
        await open_database(f"sqlite:///{tmp_path / 'text.db'}").start()


async def test_postgres_limits_the_wait_for_a_connection(postgres_server: str) -> None:
    async with open_database(postgres_server, pool_size=1, timeout_seconds=0.5) as database:
        async with database.transaction():
            with pytest.raises(DatabaseBusy):
                await database.one(one)
        assert await database.one(one) == 1


async def test_a_killed_connection_is_an_error_once_and_then_replaced(postgres_server: str) -> None:
    async with open_database(postgres_server, pool_size=1) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as tx:
                await tx.one(one)
                admin = await asyncpg.connect(postgres_server)
                await admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restwell'"
                )
                await admin.close()
                await asyncio.sleep(0.1)
                await tx.one(one)
        assert await database.one(one) == 1


async def test_a_statement_beyond_its_timeout_raises_database_busy(postgres_server: str) -> None:
    async with open_database(postgres_server, pool_size=1, timeout_seconds=0.5) as database:
        with pytest.raises(DatabaseBusy):
            await database.run(sleep)


async def test_postgres_raises_programming_errors_unchanged(postgres_server: str) -> None:
    async with open_database(postgres_server, pool_size=1) as database:
        with pytest.raises(asyncpg.DataError):
            await database.one(plus_one, n="many")
        with pytest.raises(asyncpg.UndefinedTableError):
            async with database.transaction() as tx:
                await tx.run_script("SELECT nonsense FROM nowhere")
        assert await database.one(plus_one, n=1) == 2


async def test_postgres_closes_in_time_while_a_connection_is_in_use(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "CLOSE_SECONDS", 0.1)
    database = open_database(postgres_server, pool_size=1)
    await database.start()
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction() as tx:
            await database.close()
            await tx.one(one)


async def test_sqlite_limits_the_wait_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_MS", 100)
    async with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        async with database.transaction():
            with pytest.raises(DatabaseBusy):
                async with database.transaction():
                    pass
        async with database.transaction() as tx:
            assert await tx.one(one) == 1


async def test_an_sqlite_file_locked_by_another_process_raises_database_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "PRAGMAS", sqlite_module.PRAGMAS.replace("= 5000", "= 100"))
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
        expected: dict[str, int | str] = {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 5_000,
        }
        for name, value in expected.items():
            pragma = query(
                "test.pragma",
                text(f"SELECT {name if name != 'busy_timeout' else 'timeout'} FROM pragma_{name}"),
                into=str,
            )
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
        with pytest.raises(apsw.ConstraintError):
            async with database.transaction() as tx:
                await tx.run_script("INSERT INTO t VALUES (1)")
        assert await database.one(count) == 0
        async with database.transaction() as tx:
            await tx.run_script("INSERT INTO p VALUES (1)")
            await tx.run_script("INSERT INTO t VALUES (1)")
        assert await database.one(count) == 1


@pytest.mark.parametrize(("held_seconds", "opens"), [(0.3, True), (2.0, False)])
async def test_sqlite_waits_for_another_process_that_creates_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, held_seconds: float, opens: bool
) -> None:
    monkeypatch.setattr(sqlite_module, "PRAGMAS", "PRAGMA busy_timeout = 1")
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_MS", 1_000)
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
