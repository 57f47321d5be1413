"""A migration that fails, or waits: each error is one line with a hint, and the database is unchanged."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from migration_files import ONE, TWO, only, step
from restwell.database import _migrations as migrations_module
from restwell.database import _postgres as postgres_module
from restwell.database import _sqlite_connect as sqlite_connect_module
from restwell.database import open_database
from restwell.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(step("0001", None, more="import none_such"), "line 3: ModuleNotFoundError: ", id="an import"),
        pytest.param(
            step("0001", None).replace('execute("', 'execute(1 / 0, "'), "line 7: ZeroDivisionError", id="its code"
        ),
    ],
)
async def test_a_migration_that_raises_is_named_with_its_line(
    empty_url: str, tmp_path: Path, text: str, words: str
) -> None:
    migrations = only(tmp_path, **{"0001_a": text})
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match=rf"^0001_a\.py, {words}"):
            await migrations.upgrade(database)
        assert await migrations.current(database) is None


async def test_a_failed_statement_is_named_and_its_transaction_rolled_back(empty_url: str, tmp_path: Path) -> None:
    migrations = only(tmp_path, **{"0001_a": ONE, "0002_b": step("0002", "0001", table="t0001")})
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match=r"^0002_b: .*already exists.*: CREATE TABLE t0001 \(n INTEGER\)$"):
            await migrations.upgrade(database)
        assert await migrations.current(database) is None


async def test_a_role_without_the_create_privilege_gets_a_clear_error(postgres_server: str, tmp_path: Path) -> None:
    """Regression: the command printed a stack trace."""
    base, _, _ = postgres_server.rpartition("/")
    async with open_database(postgres_server) as owner:
        async with owner.transaction() as tx:
            for statement in (
                "CREATE ROLE reader LOGIN",
                "CREATE SCHEMA closed",
                "GRANT USAGE ON SCHEMA closed TO reader",
            ):
                await tx.run_script(statement)
            await tx.run_script("ALTER ROLE reader SET search_path = closed")
        try:
            async with open_database(base.replace("//restwell@", "//reader@") + "/postgres") as database:
                with pytest.raises(
                    ConfigurationError, match=r"permission denied for schema closed; grant the privilege .*: CREATE"
                ):
                    await only(tmp_path, **{"0001_a": ONE}).upgrade(database)
            async with owner.transaction() as tx:
                await tx.run_script("CREATE TABLE closed.restwell_migrations (package TEXT, revision TEXT, phase TEXT)")
            async with open_database(base.replace("//restwell@", "//reader@") + "/postgres") as database:
                with pytest.raises(
                    ConfigurationError, match=r"restwell_migrations cannot be read: .*permission denied"
                ):
                    await only(tmp_path, **{"0001_a": ONE}).check(database)
        finally:
            async with owner.transaction() as tx:
                for statement in ("DROP SCHEMA closed CASCADE", "DROP ROLE reader"):
                    await tx.run_script(statement)


@pytest.mark.slow
async def test_a_held_lock_is_reported_after_the_last_attempt(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the command printed a stack trace. On SQLite a writer locks the whole database."""
    monkeypatch.setattr(postgres_module, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(sqlite_connect_module, "BUSY_TIMEOUT_MS", 100)
    monkeypatch.setattr(migrations_module, "LOCK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(migrations_module, "LOCK_ATTEMPTS", 2)
    async with open_database(empty_url) as database, open_database(empty_url) as other:
        await only(tmp_path, **{"0001_a": ONE}).upgrade(database)
        alter = TWO.replace("CREATE TABLE t0002 (n INTEGER)", "ALTER TABLE t0001 ADD COLUMN m INTEGER")
        migrations = only(tmp_path, **{"0001_a": ONE, "0002_b": alter})
        on = "0002_b: ALTER TABLE t0001 ADD COLUMN m INTEGER" if database.dialect == "postgresql" else "the database"
        async with other.transaction() as tx:
            await tx.run_script("INSERT INTO t0001 VALUES (1)")
            with capture_logs() as logs, pytest.raises(ConfigurationError) as error:
                await migrations.upgrade(database)
        assert error.value.faults == [
            (
                f"lock timeout in 2 attempts, on {on}: end the transaction that holds the lock, and run"
                " restwell migrate again"
            )
        ]
        assert [line["on"] for line in logs if line["event"] == "migration_waiting"] == [on]
        assert await migrations.upgrade(database)


@pytest.mark.slow
async def test_migrate_waits_for_the_migration_of_another_process_and_logs_it(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the command waited for up to an hour and logged nothing."""
    monkeypatch.setattr(postgres_module, "MIGRATION_LOCK_SECONDS", 0.3)
    monkeypatch.setattr(sqlite_connect_module, "BUSY_TIMEOUT_MS", 300)
    monkeypatch.setattr(migrations_module, "LOCK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(migrations_module, "LOCK_ATTEMPTS", 1)
    migrations = only(tmp_path, **{"0001_a": ONE})
    async with open_database(empty_url) as database, open_database(empty_url) as other:
        async with other.migration():
            with capture_logs() as logs, pytest.raises(ConfigurationError, match=r"run restwell migrate again"):
                await migrations.upgrade(database)
        if database.dialect == "postgresql":
            assert [line["on"] for line in logs] == ["the migration of another process"]
        async with other.migration():
            migrating = asyncio.create_task(migrations.upgrade(database))
            await asyncio.sleep(0.1)
            assert not migrating.done()
        assert await migrating
