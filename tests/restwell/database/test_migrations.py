"""Migrations: atomic, one at a time, and what they build is what the code expects."""

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, table, update
from sqlalchemy import column as sql_column
from sqlalchemy.ext.asyncio import create_async_engine

from restwell.database import Database, Migrations, open_database, param, query
from restwell.errors import ConfigurationError
from shop.app import MIGRATIONS
from shop.orders import models as _orders  # every table is known once its module is imported
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

set_revision = query(
    "test.set_revision",
    update(table("alembic_version", sql_column("version_num"))).values(version_num=param("revision")),
)
insert_half = query("test.half", insert(table("half", sql_column("n"))).values(n=param("n")))


async def test_brings_an_empty_database_to_the_newest_revision_once(empty_url: str) -> None:
    migrations = Migrations(MIGRATIONS)
    async with open_database(empty_url) as database:
        assert await migrations.current(database) is None
        with pytest.raises(ConfigurationError, match="run restwell migrate"):
            await migrations.check(database)
        assert await migrations.upgrade(database)
        assert await migrations.current(database) == migrations.head
        await migrations.check(database)
        assert await migrations.upgrade(database) == []
        assert migrations.statements(database.dialect, migrations.head) == []


async def test_many_processes_may_migrate_at_once(empty_url: str) -> None:
    """Breaks without the lock in ``migration()``: the second one finds its tables already there and fails."""
    migrations = Migrations(MIGRATIONS)
    databases = [open_database(empty_url, pool_size=1) for _ in range(4)]
    await asyncio.gather(*(database.start() for database in databases))
    ran = await asyncio.gather(*(migrations.upgrade(database) for database in databases))
    assert sorted(bool(statements) for statements in ran) == [False, False, False, True]
    await asyncio.gather(*(database.close() for database in databases))


async def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_bad.py").write_text(BAD)
    async with open_database(empty_url) as database:
        with pytest.raises(Exception, match="already exists"):
            await Migrations(tmp_path).upgrade(database)
        assert await Migrations(tmp_path).current(database) is None
        with pytest.raises(Exception, match=r"no such table|does not exist"):
            await database.run(insert_half, n=1)


async def test_a_schema_from_a_newer_release_is_refused(database: Database) -> None:
    await database.run(set_revision, revision="9999")
    with pytest.raises(ConfigurationError, match="9999, which this release does not know"):
        await Migrations(MIGRATIONS).check(database)


def test_a_folder_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no migrations in"):
        Migrations(tmp_path)


async def test_the_migrations_build_what_the_models_say(database_url: str, database: Database) -> None:
    """Compares tables, columns, nullability, keys and indexes of a migrated database with the models."""

    def differences(connection: Connection) -> list[object]:
        options = {"include_object": lambda _object, name, *_: not str(name).startswith(("products_search", "search"))}
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
    # Only PostgreSQL has the index over its search column; the models do not know either.
    assert [difference for difference in found if "products_by_search" not in str(difference)] == []
