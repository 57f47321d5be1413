"""The tables that a database has, in the form in which it stores them.

The tables of the models are created in a database too, and read in the same way. So types, defaults and conditions are
compared as the database writes them, and not as somebody wrote them in Python.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Column, MetaData, Table, text
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from restwell.database._query import DIALECTS, query
from restwell.database._transaction import Executor, Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable


class ColumnSchema(Struct, frozen=True):
    type: str
    nullable: bool
    default: str


class IndexSchema(Struct, frozen=True):
    """``is_constraint``: it belongs to a UNIQUE constraint of the table, and has its name, or ``""`` without one."""

    name: str
    unique: bool
    definition: str
    is_constraint: bool


class ForeignKeySchema(Struct, frozen=True):
    columns: tuple[str, ...]
    table: str
    target_columns: tuple[str, ...]
    on_delete: str
    on_update: str


class TableSchema(Struct):
    columns: dict[str, ColumnSchema]
    primary_key: tuple[str, ...] = ()
    indexes: list[IndexSchema] = []
    foreign_keys: dict[ForeignKeySchema, str] = {}
    """Each with its name, or ``""``."""
    checks: dict[str, str] = {}
    """By definition, the name of each. SQLite tells only the names, which are the definitions then."""


Schema = dict[str, TableSchema]

_POSTGRES: Final = {
    "columns": """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
            coalesce(pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text || a.attgenerated::text
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum""",
    "indexes": """SELECT t.relname, i.relname, x.indisunique, pg_get_indexdef(i.oid), coalesce(k.contype::text, '')
        FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
        LEFT JOIN pg_constraint AS k ON k.conindid = i.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
        WHERE t.relnamespace = current_schema()::regnamespace AND NOT t.relispartition AND x.indisvalid
        ORDER BY i.relname""",
    "constraints": """SELECT t.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid),
            array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(n, i)
                JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
            coalesce(f.relname, ''),
            array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(n, i)
                JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i),
            k.confdeltype::text, k.confupdtype::text
        FROM pg_constraint AS k JOIN pg_class AS t ON t.oid = k.conrelid LEFT JOIN pg_class AS f ON f.oid = k.confrelid
        WHERE t.relnamespace = current_schema()::regnamespace AND NOT t.relispartition AND k.contype IN ('c', 'f', 'p')
            AND k.conparentid = 0 ORDER BY k.conname""",
}
_SQLITE: Final = {
    "columns": """SELECT t.name, c.name, c.type, c."notnull", coalesce(c.dflt_value, ''), c.pk, t.sql
        FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table' ORDER BY t.name, c.cid""",
    "indexes": """SELECT t.name, i.name, i."unique", i.origin, coalesce(m.sql, ''),
            (SELECT group_concat(name, ', ') FROM pragma_index_info(i.name))
        FROM sqlite_master AS t, pragma_index_list(t.name) AS i LEFT JOIN sqlite_master AS m ON m.name = i.name
        WHERE t.type = 'table' ORDER BY i.name""",
    "foreign_keys": """SELECT t.name, f.id, f."table", f."from", coalesce(f."to", ''), f.on_delete, f.on_update
        FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'
        ORDER BY t.name, f.id, f.seq""",
}
_ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_CONSTRAINT: Final = re.compile(r"(?:CONSTRAINT (\w+) )?(UNIQUE|FOREIGN KEY) ?\(([^)]*)\)")
_CHECK: Final = re.compile(r"CONSTRAINT (\w+) CHECK ")
_CREATED: Final = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?\"?(\w+)\"?(?! PARTITION OF)")


async def read_schema(database: Executor) -> Schema:
    """Every table of the database, or of the first schema of PostgreSQL's search path."""
    return await (_read_sqlite(database) if database.dialect == "sqlite" else _read_postgres(database))


def created_tables(statements: Iterable[str]) -> set[str]:
    """The names of the tables that the statements create, except partitions."""
    return {found[1] for statement in statements for found in _CREATED.finditer(statement)}


def complete(metadata: MetaData) -> MetaData:
    """A copy with the tables of the kit and of features to which foreign keys refer: those have their own metadata."""
    copy = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(copy)
    for target in {key.target_fullname for table in list(copy.tables.values()) for key in table.foreign_keys}:
        name, _, column = target.rpartition(".")
        if name not in metadata.tables:
            Table(name, copy, Column(column), extend_existing=True)
    return copy


def definitions(metadata: MetaData, dialect: str) -> list[str]:
    """The statements that create the tables of the models with their indexes."""
    statements: list[DDLElement] = []
    for table in complete(metadata).sorted_tables:
        if table.name in metadata.tables:
            indexes = sorted(table.indexes, key=lambda each: str(each.name))
            statements += [CreateTable(table), *map(CreateIndex, indexes)]
    return [str(each.compile(dialect=DIALECTS[dialect])).strip() for each in statements]


class _Done(Exception):
    """Rolls the transaction back."""


async def read_models(database: Any, metadata: MetaData) -> Schema:
    """The tables of the models, as the database stores them: PostgreSQL creates them in a schema that is rolled back.

    SQLite creates them in the database, which is empty.
    """
    schema: Schema = {}
    try:
        async with database.transaction() as tx:
            if tx.dialect == "postgresql":
                path = await tx.one(_search_path)
                await tx.run_script("CREATE SCHEMA restwell_models")
                await tx.run_script(f"SET LOCAL search_path TO restwell_models, {path}")
            for statement in definitions(metadata, tx.dialect):
                await _create(tx, statement)
            schema = await read_schema(tx)
            raise _Done  # noqa: TRY301  # ends the transaction
    except _Done:
        return {name: schema[name] for name in metadata.tables}


async def _create(tx: Transaction, statement: str) -> None:
    try:
        await tx.run_script(statement)
    except ServiceUnavailable:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}: {statement}".split())
        raise ConfigurationError([f"the database cannot create what the models declare: {reason}"]) from error


_search_path: Final = query("schema.search_path", text("SELECT current_setting('search_path')"), into=str)
_asked: Final = {
    name: query(f"schema.{name}", text(sql), into=tuple)
    for dialect in (_POSTGRES, _SQLITE)
    for name, sql in ((f"{'sqlite' if dialect is _SQLITE else 'postgres'}_{key}", sql) for key, sql in dialect.items())
}


async def _read_postgres(database: Executor) -> Schema:
    schema: Schema = {}
    for table, name, kind, nullable, default in await database.all(_asked["postgres_columns"]):
        schema.setdefault(table, TableSchema({})).columns[name] = ColumnSchema(kind, nullable, default)
    for table, name, unique, definition, owner in await database.all(_asked["postgres_indexes"]):
        if owner not in {"p", "x"}:
            what = definition.partition(" USING ")[2]
            schema[table].indexes.append(IndexSchema(name, unique, what, owner == "u"))
    rows = await database.all(_asked["postgres_constraints"])
    for table, name, kind, definition, columns, target, target_columns, deleted, updated in rows:
        if kind == "p":
            schema[table].primary_key = tuple(columns)
        elif kind == "c":
            schema[table].checks[definition.removesuffix(" NOT VALID")] = name
        else:
            actions = _ACTIONS[deleted], _ACTIONS[updated]
            schema[table].foreign_keys[ForeignKeySchema(tuple(columns), target, tuple(target_columns), *actions)] = name
    return schema


async def _read_sqlite(database: Executor) -> Schema:
    schema: Schema = {}
    keys: dict[str, dict[int, str]] = {}
    texts: dict[str, str] = {}
    for table, name, kind, notnull, default, position, sql in await database.all(_asked["sqlite_columns"]):
        found = schema.setdefault(table, TableSchema({}))
        found.columns[name] = ColumnSchema(kind.upper(), not notnull, default)
        texts[table] = " ".join(sql.replace('"', "").split())
        if position:
            keys.setdefault(table, {})[position] = name
    for table, columns in keys.items():
        schema[table].primary_key = tuple(columns[position] for position in sorted(columns))
    named = {
        table: {(kind, columns.replace(" ", "")): name for name, kind, columns in _CONSTRAINT.findall(sql)}
        for table, sql in texts.items()
    }
    for table, name, unique, origin, sql, columns in await database.all(_asked["sqlite_indexes"]):
        if origin == "u":
            given = named[table].get(("UNIQUE", columns.replace(" ", "")), "")
            schema[table].indexes.append(IndexSchema(given, unique=True, definition=f"({columns})", is_constraint=True))
        elif origin == "c":
            what = " ".join(sql.replace('"', "").split()).partition(f" ON {table} ")[2]
            schema[table].indexes.append(IndexSchema(name, bool(unique), what, is_constraint=False))
    groups: dict[tuple[str, int], list[Any]] = {}
    for table, number, *row in await database.all(_asked["sqlite_foreign_keys"]):
        groups.setdefault((table, number), []).append(row)
    for (table, _), rows in groups.items():
        names = tuple(row[1] for row in rows)
        key = ForeignKeySchema(names, rows[0][0], tuple(row[2] for row in rows), rows[0][3], rows[0][4])
        schema[table].foreign_keys[key] = named[table].get(("FOREIGN KEY", ",".join(names)), "")
    for table, sql in texts.items():
        schema[table].checks = {name: name for name in _CHECK.findall(sql)}
    return schema
