"""Compares the tables that migrations create with their definitions in the code."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import MetaData, text
from sqlalchemy.schema import CreateIndex, CreateTable

from restwell.database import Database, query
from restwell.database._query import DIALECTS

STRUCTURE: Final = {
    "postgresql": [
        """SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, '')
        FROM information_schema.columns WHERE table_schema = 'public'""",
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    ],
    "sqlite": [
        """SELECT t.name, c.name, c.type, c."notnull", coalesce(c.dflt_value, ''), c.pk
        FROM sqlite_master AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'""",
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        """SELECT t.name, f."from", f."table", f."to", f.on_delete
        FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'""",
    ],
}


async def assert_tables_equal_definitions(database: Database, metadata: MetaData) -> None:
    """Columns with their defaults, indexes with their conditions, and keys. Replaces the tables."""
    migrated = await _structure(database, metadata.tables)
    dialect = DIALECTS[database.dialect]
    async with database.transaction() as tx:
        for table in reversed(metadata.sorted_tables):
            await tx.run_script(f"DROP TABLE {table.name}")
        for table in metadata.sorted_tables:
            await tx.run_script(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                await tx.run_script(str(CreateIndex(index).compile(dialect=dialect)))
    assert migrated == await _structure(database, metadata.tables)
    assert len(migrated) > 3 * len(metadata.tables)


async def _structure(database: Database, tables: Collection[str]) -> set[str]:
    """The columns, indexes and constraints of the tables."""
    asked = [query("test.structure", text(sql), into=tuple) for sql in STRUCTURE[database.dialect]]
    rows = [str(row) for one in asked for row in await database.all(one)]
    return {row for row in rows if any(table in row for table in tables)}
