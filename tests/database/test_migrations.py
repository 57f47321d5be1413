"""Migrations are atomic, run one at a time, and produce the schema of the models."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, table
from sqlalchemy import column as sql_column
from sqlalchemy.ext.asyncio import create_async_engine

from restwell.database import Database, Migrations, open_database, param, query
from restwell.database import _migrations as migrations_module
from restwell.database import _postgres as postgres_module
from restwell.database._migration_lint import lint
from restwell.errors import ConfigurationError
from shop.app import MIGRATIONS
from shop.orders import models as _orders  # importing the modules registers their tables
from shop.products import models as _products
from shop.schema import metadata
from shop.sessions import models as _sessions
from shop.users import models as _users

assert all((_orders, _products, _sessions, _users))

BAD = '''"""Fails half way (pre-deploy)."""
from alembic import op
revision = "0001"
down_revision = None
def upgrade() -> None:
    op.execute("CREATE TABLE half (n INTEGER)")
    op.execute("CREATE TABLE half (n INTEGER)")
'''

add_applied = query(
    "test.add_applied",
    insert(table("restwell_migrations", sql_column("revision"), sql_column("phase"))).values(
        revision=param("revision"), phase=param("phase")
    ),
)
insert_half = query("test.half", insert(table("half", sql_column("n"))).values(n=param("n")))


async def test_upgrade_brings_an_empty_database_to_the_newest_revision_once(empty_url: str) -> None:
    migrations = Migrations(MIGRATIONS)
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
    migrations = Migrations(MIGRATIONS)
    databases = [open_database(empty_url, pool_size=1) for _ in range(4)]
    await asyncio.gather(*(database.start() for database in databases))
    ran = await asyncio.gather(*(migrations.upgrade(database) for database in databases))
    assert sorted(bool(statements) for statements in ran) == [False, False, False, True]
    await asyncio.gather(*(database.close() for database in databases))


async def test_a_failed_migration_is_rolled_back(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_bad.py").write_text(BAD)
    async with open_database(empty_url) as database:
        with pytest.raises(Exception, match="already exists"):
            await Migrations(tmp_path).upgrade(database)
        assert await Migrations(tmp_path).current(database) is None
        with pytest.raises(Exception, match=r"no such table|does not exist"):
            await database.run(insert_half, n=1)


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
        for name, (phase, step) in list(RELEASES.items())[:steps]:
            revision = name.partition("_")[0]
            (folder / name).write_text(FILE.format(phase=phase, revision=revision, before=before, step=step))
            before = f'"{revision}"'
        return Migrations(folder.parent)

    return make


add_old = query(
    "test.add_old", insert(table("notes", sql_column("id"), sql_column("old"))).values(id=param("id"), old="x")
)


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
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_first.py").write_text(
        '"""First (post-deploy)."""\nrevision = "0001"\ndown_revision = None\ndef upgrade(): ...\n'
    )
    async with open_database(empty_url) as database:
        with pytest.raises(ConfigurationError, match="revision none, not 0001_first: run restwell migrate"):
            await Migrations(tmp_path).check(database)


async def test_an_unknown_post_deploy_revision_is_refused(database: Database) -> None:
    migrations = Migrations(MIGRATIONS)
    await database.run(add_applied, revision="9998_more", phase="pre")
    await migrations.check(database)
    await database.run(add_applied, revision="9999_less", phase="post")
    with pytest.raises(ConfigurationError, match="9999_less, which is incompatible with this release"):
        await migrations.check(database)


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


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ('op.create_index("i", "notes", ["id"])', "require-concurrent-index-creation"),
        ('op.add_column("notes", Column("n", Integer, nullable=False))', "adding-required-field"),
        ('op.drop_column("notes", "old")', "ban-drop-column"),
        ('op.alter_column("notes", "old", new_column_name="older")', "renaming-column"),
        ('op.alter_column("notes", "id", type_=Text())', "changing-column-type"),
        ('op.create_check_constraint("c", "notes", "id > 0")', "constraint-missing-not-valid"),
    ],
)
def test_lint_finds_a_statement_that_would_block_or_break_a_live_database(
    release: Callable[[int], Migrations], tmp_path: Path, statement: str, rule: str
) -> None:
    release(1)
    folder = tmp_path / "release-1"
    text = FILE.format(phase="pre", revision="0002", before='"0001"', step=statement)
    (folder / "versions" / "0002_bad.py").write_text(text)
    assert rule in {finding.rule for finding in lint(Migrations(folder)) if finding.revision == "0002_bad"}


def test_lint_accepts_safe_migrations(release: Callable[[int], Migrations]) -> None:
    assert lint(release(4)) == []
    assert lint(Migrations(MIGRATIONS)) == []


def test_a_migration_without_a_deploy_phase_is_refused(release: Callable[[int], Migrations], tmp_path: Path) -> None:
    release(1)
    (tmp_path / "release-1/versions/0002_silent.py").write_text('"""A step."""\ndef upgrade(): ...\n')
    with pytest.raises(
        ConfigurationError, match=r"0002_silent\.py: end the first line of its docstring with \(pre-deploy\)"
    ):
        Migrations(tmp_path / "release-1")


async def test_the_migrated_schema_equals_the_models(database_url: str, database: Database) -> None:
    """Compares tables, columns, nullability, keys and indexes of a migrated database with the models."""

    def differences(connection: Connection) -> list[object]:
        options = {
            "include_object": lambda _object, name, *_: (
                not str(name).startswith(("products_search", "search", "restwell_migrations"))
            )
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    if database.dialect == "sqlite":
        engine = create_engine(database_url)
        with engine.connect() as connection:
            found = differences(connection)
        engine.dispose()
    else:
        asynchronous = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))
        async with asynchronous.connect() as asynchronous_connection:
            found = await asynchronous_connection.run_sync(differences)
        await asynchronous.dispose()
    # The models contain neither the search column of PostgreSQL nor its index.
    assert [difference for difference in found if "products_by_search" not in str(difference)] == []
