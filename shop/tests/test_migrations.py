"""The migrations produce the schema of the models, and are safe on a live database."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from restwell import Restwell
from restwell.database import Database, open_database
from restwell.database._migration_lint import lint
from servers import ROOT, restwell
from shop.app import accounts, create_app
from shop.schema import metadata
from shop.settings import ShopSettings

NOT_IN_THE_MODELS = ("products_search", "search")
"""The full-text search: on SQLite tables, on PostgreSQL a column and its index."""


async def tables_of_the_kit(folder: Path) -> set[str]:
    url = f"sqlite:///{folder / 'kit.db'}"
    async with open_database(url) as database:
        await Restwell(ShopSettings()).app([accounts]).migrations.upgrade(database)
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


async def test_the_migrated_schema_equals_the_models(database_url: str, database: Database, tmp_path: Path) -> None:
    """Compares tables, columns, nullability, keys and indexes of a migrated database with the models."""
    kit = await tables_of_the_kit(tmp_path)
    assert {"jobs", "users"} <= kit

    def differences(connection: Connection) -> list[object]:
        options = {
            "include_object": lambda _object, name, *_: name not in kit and not str(name).startswith(NOT_IN_THE_MODELS)
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
    assert [difference for difference in found if "products_by_search" not in str(difference)] == []


@pytest.mark.integration
def test_migrate_check_compares_the_tables_of_the_shop(database_url: str) -> None:
    """Fails if the application does not name its metadata, and if a table has columns that the models do not know."""
    assert create_app(ShopSettings()).migrations.metadata is metadata
    checked = restwell("migrate", "--check", cwd=ROOT, DATABASE_URL=database_url)
    assert (checked.returncode, checked.stdout.endswith(", 0 findings\n")) == (0, True), checked.stdout + checked.stderr


def test_the_migrations_pass_the_lint() -> None:
    assert lint(create_app(ShopSettings()).migrations) == []
