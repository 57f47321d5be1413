"""Migrations are atomic, run one at a time, and let two releases serve during a deploy."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import column, insert, table

from migration_files import only, step, write
from restwell.database import Migrations, open_database, param, query
from restwell.database import _migrations as migrations_module
from restwell.database import _postgres as postgres_module
from restwell.errors import ConfigurationError

BAD = '''"""Fails half way (pre-deploy)."""
from alembic import op
revision = "0001"
down_revision = None
def upgrade() -> None:
    op.execute("CREATE TABLE half (n INTEGER)")
    op.execute("CREATE TABLE half (n INTEGER)")
'''

insert_job = query("test.job", insert(table("jobs", column("id"))).values(id=param("n")))
insert_half = query("test.half", insert(table("half", column("n"))).values(n=param("n")))


async def test_upgrade_brings_an_empty_database_to_the_newest_revision_once(empty_url: str) -> None:
    migrations = Migrations()
    async with open_database(empty_url) as database:
        assert await migrations.current(database) is None
        with pytest.raises(ConfigurationError, match="run restwell migrate"):
            await migrations.check(database)
        assert await migrations.upgrade(database)
        assert await migrations.current(database) == migrations.head
        await migrations.check(database)
        assert await migrations.upgrade(database) == []
        assert migrations.pending(await migrations.applied(database)) == []


async def test_many_processes_may_migrate_at_the_same_time(empty_url: str) -> None:
    """Breaks without the lock in ``migration()``: the second process fails because its tables exist."""
    migrations = Migrations()
    databases = [open_database(empty_url, pool_size=1) for _ in range(4)]
    await asyncio.gather(*(database.start() for database in databases))
    ran = await asyncio.gather(*(migrations.upgrade(database) for database in databases))
    assert sorted(bool(statements) for statements in ran) == [False, False, False, True]
    await asyncio.gather(*(database.close() for database in databases))


async def test_a_failed_migration_is_rolled_back_with_all_before_it(empty_url: str, tmp_path: Path) -> None:
    """The tables of the kit too. Breaks when each history has a transaction of its own."""
    migrations = Migrations(write(tmp_path, {"0001_bad": BAD}))
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match=r"^0001_bad: .*already exists"):
            await migrations.upgrade(database)
        assert await migrations.current(database) is None
        for statement in (insert_half, insert_job):
            with pytest.raises(Exception, match=r"no such table|does not exist"):
                await database.run(statement, n=1)


async def test_the_tables_of_the_kit_are_there_before_those_of_the_application(empty_url: str, tmp_path: Path) -> None:
    """Breaks in the other order: the migration reads a table that does not exist."""
    reads = step("0001", None).replace("(n INTEGER)", "AS SELECT id FROM jobs")
    async with open_database(empty_url) as database:
        assert await Migrations(write(tmp_path, {"0001_a": reads})).upgrade(database)


DROP = 'op.drop_index("notes_by_new", if_exists=True, postgresql_concurrently=True)'
CREATE = 'op.create_index("notes_by_new", "notes", ["new"], postgresql_concurrently=True)'
RELEASES = {
    "0001_notes.py": ("pre", 'op.create_table("notes", Column("id", Integer, primary_key=True), Column("old", Text))'),
    "0002_new.py": ("pre", 'op.add_column("notes", Column("new", Text))'),
    "0003_index.py": ("pre", f"with op.get_context().autocommit_block():\n        {DROP}\n        {CREATE}"),
    "0004_no_old.py": ("post", 'op.drop_column("notes", "old")'),
}
FILE = '"""A step ({phase}-deploy)."""\nfrom alembic import op\nfrom sqlalchemy import Column, Integer, Text\n'
FILE += 'revision = "{revision}"\ndown_revision = {before}\ndef upgrade() -> None:\n    {step}\n'


@pytest.fixture
def release(tmp_path: Path) -> Callable[[int], Migrations]:
    """The migrations of a release that includes the first ``steps`` steps."""

    def make(steps: int) -> Migrations:
        folder = tmp_path / f"release-{steps}" / "versions"
        folder.mkdir(parents=True)
        before = "None"
        for name, (phase, text) in list(RELEASES.items())[:steps]:
            revision = name.partition("_")[0]
            (folder / name).write_text(FILE.format(phase=phase, revision=revision, before=before, step=text))
            before = f'"{revision}"'
        return Migrations(folder.parent, packages={})

    return make


add_old = query("test.add_old", insert(table("notes", column("id"), column("old"))).values(id=param("id"), old="x"))


async def test_the_previous_release_works_on_the_new_schema_until_the_post_deploy_migration(
    empty_url: str, release: Callable[[int], Migrations]
) -> None:
    """Breaks when every unknown revision is refused: a pod of the old release then cannot restart."""
    old, new = release(1), release(4)
    async with open_database(empty_url) as database:
        await old.upgrade(database)
        await database.run(add_old, id=1)
        with pytest.raises(ConfigurationError, match="0001_notes, not 0004_no_old: run restwell migrate"):
            await new.check(database)

        assert await new.upgrade(database, before_deploy=True)
        assert await new.current(database) == "0003_index"
        await new.check(database)
        await old.check(database)
        assert await old.upgrade(database) == []
        await database.run(add_old, id=2)

        await new.upgrade(database)
        assert await new.current(database) == "0004_no_old"
        await new.check(database)
        with pytest.raises(
            ConfigurationError, match=r"0004_no_old, which is incompatible with this release \(0001_notes\)"
        ):
            await old.check(database)


async def test_an_empty_database_is_refused_for_any_phase_of_the_first_migration(
    empty_url: str, tmp_path: Path
) -> None:
    """Breaks when only pending pre-deploy migrations are refused."""
    migrations = only(tmp_path, **{"0001_first": step("0001", None, phase="post")})
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match="revision none, not 0001_first: run restwell migrate"):
            await migrations.check(database)


@pytest.mark.slow
async def test_a_migration_releases_its_lock_request_on_a_busy_table_and_retries(
    empty_url: str, release: Callable[[int], Migrations], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks with a single long wait: every query on the table then queues behind the migration."""
    monkeypatch.setattr(postgres_module, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(migrations_module, "LOCK_PAUSE_SECONDS", 0.2)
    async with open_database(empty_url) as database, open_database(empty_url) as other:
        await release(1).upgrade(database)
        async with other.transaction() as tx:
            await tx.run(add_old, id=1)
            migrating = asyncio.create_task(release(2).upgrade(database))
            await asyncio.sleep(0.7)
            assert not migrating.done()
            if database.dialect == "postgresql":
                await asyncio.wait_for(database.run(add_old, id=2), 2)
        assert await migrating
