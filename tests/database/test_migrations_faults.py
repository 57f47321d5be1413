"""Invalid migrations: each error is one line with a hint, and the database is unchanged."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from restwell.database import Database, Migrations, open_database
from restwell.database import _migrations as migrations_module
from restwell.database import _postgres as postgres_module
from restwell.database import _sqlite as sqlite_module
from restwell.errors import ConfigurationError

Folder = Callable[..., Migrations]


def step(number: str, down: str | None, *, phase: str = "pre", table: str = "", more: str = "") -> str:
    return (
        f'"""A step ({phase}-deploy)."""\nfrom alembic import op\n{more}\nrevision = "{number}"\n'
        f"down_revision = {down!r}\ndef upgrade():\n"
        f'    op.execute("CREATE TABLE {table or "t" + number} (n INTEGER)")\n'
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Creates a folder with exactly these files, and reads it."""

    def make(**files: str) -> Migrations:
        versions = tmp_path / "versions"
        versions.mkdir(exist_ok=True)
        for old in versions.iterdir():
            if old.is_file():
                old.unlink()
        for name, text in files.items():
            (versions / f"{name}.py").write_text(text)
        return Migrations(tmp_path)

    return make


ONE, TWO = step("0001", None), step("0002", "0001")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "0002_c": TWO},
            "0002_b.py and 0002_c.py have the same number:"
            " rename the one that has not run on any database, to 0003_c.py, "
            'with revision = "0003" and down_revision = "0002"',
            id="two files of one number",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "002_c": step("002", "0001"), "0003_d": step("0003", "0002")},
            "0002_b.py and 002_c.py have the same number:"
            " rename the one that has not run on any database, to 0004_c.py",
            id="one number in other digits",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "0003_c": step("0003", "0001")},
            '0002_b.py and 0003_c.py both follow "0001": set down_revision = "0002" in 0003_c.py',
            id="two heads",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": step("0002", None)},
            '0001_a.py and 0002_b.py both follow None: set down_revision = "0001" in 0002_b.py',
            id="two beginnings",
        ),
        pytest.param(
            {"0001_a": ONE, "0003_c": step("0003", "0002")},
            '0003_c.py follows "0002", which is not the migration before it: set down_revision = "0001" in 0003_c.py',
            id="a missing link",
        ),
        pytest.param(
            {"0001_a": step("0001", "0002"), "0002_b": TWO},
            '0001_a.py follows "0002", which is not the migration before it: set down_revision = None in 0001_a.py',
            id="a cycle",
        ),
        pytest.param(
            {"0001_a": step("0001", "0001")},
            '0001_a.py follows "0001", which is not the migration before it: set down_revision = None',
            id="itself",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO.replace("'0001'", "('0001', '0000')")},
            "0002_b.py follows ('0001', '0000'), which is not the migration before it",
            id="a merge of two",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO.replace("down_revision = '0001'", "")},
            '0002_b.py does not declare which migration it follows: set down_revision = "0001"',
            id="no link",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": step("0001", "0001")},
            '0002_b.py: its revision is "0001": set revision = "0002"',
            id="one revision twice",
        ),
        pytest.param(
            {"0001_a": ONE.replace('"0001"', 'str("0001")')},
            '0001_a.py: its revision is "str(\'0001\')": set revision = "0001"',
            id="a revision that is computed",
        ),
        pytest.param(
            {"0001_a": ONE, "5f3ab2_b": TWO},
            "5f3ab2_b.py is not a valid name of a migration: rename it to 0002_what_it_does.py, or move it out of",
            id="an invalid name among others",
        ),
        pytest.param(
            {"add-notes": ONE},
            "add-notes.py is not a valid name of a migration: rename it to 0001_what",
            id="an invalid name only",
        ),
        pytest.param({"0001_a": ONE + "def ("}, "0001_a.py, line 8: ", id="a syntax error"),
        pytest.param({"0001_a": "\0"}, "0001_a.py", id="a null byte"),
        pytest.param(
            {"0001_a": ONE.replace("def upgrade", "def up")},
            "0001_a.py has no function upgrade",
            id="no upgrade function",
        ),
        pytest.param(
            {"0001_a": ""},
            "0001_a.py: end the first line of its docstring with (pre-deploy) or",
            id="an empty file",
        ),
        pytest.param({}, "no migrations in", id="an empty folder"),
    ],
)  # fmt: skip
def test_migrations_without_a_linear_history_are_refused_with_a_hint(
    folder: Folder, files: dict[str, str], line: str
) -> None:
    """Regression: of two files with the same number only one ran; files with invalid names were ignored."""
    with pytest.raises(ConfigurationError) as refused:
        folder(**files)
    assert any(fault.startswith(line) for fault in refused.value.faults), refused.value.faults
    assert "\n" not in str(refused.value)


def test_a_missing_or_unreadable_migrations_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"the folder {tmp_path}/versions does not exist: create it"):
        Migrations(tmp_path)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_init.sql").touch()
    with pytest.raises(
        ConfigurationError, match=r"no migrations in .*; ignored: 0001_init\.sql: name the first one 0001"
    ):
        Migrations(tmp_path)
    (tmp_path / "versions" / "0002_broken.py").mkdir()
    with pytest.raises(ConfigurationError, match=r"0002_broken\.py cannot be read"):
        Migrations(tmp_path)


def test_migrations_are_ordered_by_number_and_may_be_annotated(folder: Folder) -> None:
    """The order is numeric, annotated revisions (as in Alembic's template) are read, and other files are ignored."""
    typed = step("10", "9").replace("down_revision =", "down_revision: str | None =")
    migrations = folder(**{"9_a": step("9", None), "10_b": typed, "__init__": "", ".hidden": "("})
    assert migrations.phases == {"9_a": "pre", "10_b": "pre"}
    assert migrations.head == "10_b"


async def refused(migrations: Migrations, database: Database, words: str) -> None:
    """Assert that every operation that compares migrations and database is refused."""
    before = await migrations.applied(database)
    for operation in (migrations.upgrade, partial(migrations.upgrade, before_deploy=True), migrations.check):
        with pytest.raises(ConfigurationError, match=words) as error:
            await operation(database)
        assert len(error.value.faults) == 1
    with pytest.raises(ConfigurationError, match=words):  # migrate --sql
        migrations.pending(before)
    assert await migrations.applied(database) == before


async def test_a_migration_merged_behind_applied_ones_is_refused(empty_url: str, folder: Folder) -> None:
    """Regression: the migration never ran, and every command reported an up-to-date schema."""
    async with open_database(empty_url) as database:
        await folder(**{"0001_a": ONE, "0003_c": step("0003", "0001")}).upgrade(database)
        late = folder(**{"0001_a": ONE, "0002_b": TWO, "0003_c": step("0003", "0002")})
        await refused(
            late,
            database,
            r"^0002_b is ordered before 0003_c, which was applied .*: rename it to be the last one, 0004_b\.py$",
        )
        fixed = folder(**{"0001_a": ONE, "0003_c": step("0003", "0001"), "0004_b": step("0004", "0003")})
        assert await fixed.upgrade(database)
        await fixed.check(database)


async def test_a_database_that_ran_another_branch_is_refused(empty_url: str, folder: Folder) -> None:
    """Regression: revision 0002 counted as applied, no matter which file had run."""
    async with open_database(empty_url) as database:
        branch = folder(**{"0001_a": ONE, "0002_b": TWO})
        await branch.upgrade(database)
        main = folder(**{"0001_a": ONE, "0002_c": step("0002", "0001", table="c")})
        await refused(
            main,
            database,
            r"^the database has applied 0002_b, which has no file here, but not 0002_c: restore 0002_b\.py",
        )
        deleted = folder(**{"0001_a": ONE})  # as with a newer release that only added
        await deleted.check(database)
        assert await deleted.upgrade(database) == []


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
    empty_url: str, folder: Folder, text: str, words: str
) -> None:
    migrations = folder(**{"0001_a": text})
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match=rf"^0001_a\.py, {words}"):
            await migrations.upgrade(database)
        assert await migrations.applied(database) == {}


async def test_a_failed_statement_is_named_and_its_transaction_rolled_back(empty_url: str, folder: Folder) -> None:
    migrations = folder(**{"0001_a": ONE, "0002_b": step("0002", "0001", table="t0001")})
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match=r"^0002_b: .*already exists.*: CREATE TABLE t0001 \(n INTEGER\)$"):
            await migrations.upgrade(database)
        assert await migrations.applied(database) == {}


async def test_a_role_without_the_create_privilege_gets_a_clear_error(postgres_server: str, folder: Folder) -> None:
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
                    await folder(**{"0001_a": ONE}).upgrade(database)
            async with owner.transaction() as tx:
                await tx.run_script("CREATE TABLE closed.restwell_migrations (revision TEXT, phase TEXT)")
            async with open_database(base.replace("//restwell@", "//reader@") + "/postgres") as database:
                with pytest.raises(
                    ConfigurationError, match=r"restwell_migrations cannot be read: .*permission denied"
                ):
                    await folder(**{"0001_a": ONE}).check(database)
        finally:
            async with owner.transaction() as tx:
                for statement in ("DROP SCHEMA closed CASCADE", "DROP ROLE reader"):
                    await tx.run_script(statement)


async def test_a_held_lock_is_reported_after_the_last_attempt(
    empty_url: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the command printed a stack trace. On SQLite a writer locks the whole database."""
    monkeypatch.setattr(postgres_module, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(
        sqlite_module, "PRAGMAS", sqlite_module.PRAGMAS.replace("busy_timeout = 5000", "busy_timeout = 100")
    )
    monkeypatch.setattr(migrations_module, "LOCK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(migrations_module, "LOCK_ATTEMPTS", 2)
    async with open_database(empty_url) as database, open_database(empty_url) as other:
        await folder(**{"0001_a": ONE}).upgrade(database)
        alter = TWO.replace("CREATE TABLE t0002 (n INTEGER)", "ALTER TABLE t0001 ADD COLUMN m INTEGER")
        migrations = folder(**{"0001_a": ONE, "0002_b": alter})
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


async def test_migrate_waits_for_the_migration_of_another_process_and_logs_it(
    empty_url: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the command waited for up to an hour and logged nothing."""
    monkeypatch.setattr(postgres_module, "MIGRATION_LOCK_SECONDS", 0.3)
    monkeypatch.setattr(
        sqlite_module, "PRAGMAS", sqlite_module.PRAGMAS.replace("busy_timeout = 5000", "busy_timeout = 300")
    )
    monkeypatch.setattr(migrations_module, "LOCK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(migrations_module, "LOCK_ATTEMPTS", 1)
    migrations = folder(**{"0001_a": ONE})
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
