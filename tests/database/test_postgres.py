"""A PostgreSQL that is unavailable or refuses: a clear error in time, and recovery."""

import asyncio
import socket
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import literal, select, text

from restwell.database import DatabaseBusy, DatabaseUnavailable, open_database, param, query
from restwell.database import _postgres as postgres_module
from servers import free_port, postgres, postgres_programs, restwell
from tiny.environment import tiny_environment

one = query("test.one", select(literal(1).label("n")), into=int)
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
    async with open_database(postgres_server, pool_size=1, timeout_seconds=2) as database:
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
