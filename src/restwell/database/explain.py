"""What the database would do for each named query, and what of it will not scale: asked of the database itself.

Each query is planned with sample values of its parameters' types; nothing is executed. On PostgreSQL the estimates are as good
as the statistics, so run ANALYZE first.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, JSON, Boolean, DateTime, LargeBinary, Numeric, String, Uuid, text
from sqlalchemy.types import NullType, TypeEngine

from restwell.database.facade import Database, Executor
from restwell.database.query import Compiled, Query, query
from restwell.ids import new_id

LARGE: Final = 10_000
"""From how many rows on a table may not be read as a whole."""
MANY: Final = 1_000
"""From how many rows on a result needs a limit."""

_AGGREGATE: Final = re.compile(r"SELECT (?:count|sum|min|max|avg)\(", re.IGNORECASE)
_SCAN: Final = re.compile(r"SCAN (?P<table>\w+)(?P<index> USING (?:COVERING )?INDEX \w+)?(?: LEFT-JOIN)?")
_OWN_INDEX: Final = re.compile(r"SEARCH (\w+) USING AUTOMATIC .*")
"""An index that the database makes for this one run: it reads the whole table for it."""
_PASSES_ON: Final = frozenset(
    {"Limit", "LockRows", "Result", "Subquery Scan", "Nested Loop", "Append", "Merge Append", "Gather", "Gather Merge"}
)
"""Steps that ask for no more rows than they are asked for."""

# A foreign key whose columns do not lead an index: each delete or update of the parent reads the whole child.
_unindexed: Final = query(
    "explain.unindexed_foreign_keys",
    {
        "postgresql": text(
            "SELECT c.conrelid::regclass::text || '.' || c.conname FROM pg_constraint c WHERE c.contype = 'f'"
            " AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid"
            " AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey) ORDER BY 1"
        ),
        "sqlite": text(
            "SELECT t.name || '.' || f.\"from\" FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f"
            " WHERE t.type = 'table' AND f.seq = 0 AND NOT EXISTS (SELECT 1 FROM pragma_index_list(t.name) l"
            ' JOIN pragma_index_info(l.name) c ON c.seqno = 0 AND c.name = f."from") ORDER BY 1'
        ),
    },
    into=str,
)

_tables: Final = query("explain.tables", text("SELECT name FROM sqlite_master WHERE type = 'table'"), into=str)


class Plan(Struct, frozen=True):
    """How one query would be run. ``findings`` says what is wrong with it; none is as it should be."""

    query: str
    summary: str
    findings: tuple[str, ...]


def find_queries(*modules: ModuleType) -> Iterator[Query[Any]]:
    """Every query that a module defines."""
    for module in modules:
        yield from (value for value in vars(module).values() if isinstance(value, Query))


async def explain_queries(database: Database, queries: Iterable[Query[Any]]) -> list[Plan]:
    """The plan of each query, alone and, where it is batched, as a batch."""
    plan = _on_sqlite if database.dialect == "sqlite" else _on_postgresql
    statements = [form[database.dialect] for one in queries for form in (one.compiled, one.batched) if form]
    async with database.transaction() as tx:
        return [await plan(tx, compiled) for compiled in statements]


async def unindexed_foreign_keys(database: Database) -> list[str]:
    """Foreign keys without an index that begins with their columns, as ``table.name``."""
    return await database.all(_unindexed)


async def _on_sqlite(executor: Executor, compiled: Compiled) -> Plan:
    rows = await _run(executor, compiled, "EXPLAIN QUERY PLAN")
    steps = [str(row[-1]) for row in rows]
    scans = [match for step in steps if (match := _SCAN.fullmatch(step))]
    if _has_limit(compiled) and not any("TEMP B-TREE" in step for step in steps):
        # In the order of an index, or of the row numbers, and no further than the limit.
        scans = [scan for scan in scans if not scan["index"] and "WHERE" in compiled.sql]
    scanned = [scan["table"] for scan in scans]
    scanned += [match[1] for step in steps if (match := _OWN_INDEX.fullmatch(step))]
    tables = set(await executor.all(_tables))
    named = [_table_of(alias, compiled.sql, tables) for alias in scanned]
    sizes = {table: await _size_of(executor, table) for table in named if table in tables}  # not of a CTE or subquery
    findings = list(_of_large(sizes))
    unlimited = compiled.reads and not _has_limit(compiled) and not _AGGREGATE.match(compiled.sql)
    if unlimited and max(sizes.values(), default=0) > MANY:
        findings.append(f"may return {max(sizes.values()):,} rows without a limit: add .limit(param(...))")
    return Plan(compiled.name, " · ".join(steps), tuple(findings))


async def _on_postgresql(executor: Executor, compiled: Compiled) -> Plan:
    rows = await _run(executor, compiled, "EXPLAIN (FORMAT JSON)")
    root = msgspec.json.decode(rows[0][0])[0]["Plan"]
    nodes = list(_nodes(root))
    scanned = [str(node["Relation Name"]) for node in nodes if node["Node Type"] == "Seq Scan"]
    scanned += _whole_indexes(root, limited=_has_limit(compiled))
    findings = list(_of_large({table: await _size_of(executor, table) for table in scanned}))
    if compiled.reads and not _has_limit(compiled) and root["Plan Rows"] > MANY:
        findings.append(f"may return {root['Plan Rows']:,} rows without a limit: add .limit(param(...))")
    return Plan(compiled.name, " · ".join(_named(node) for node in nodes), tuple(findings))


async def _run(executor: Executor, compiled: Compiled, how: str) -> Any:
    arguments = {parameter.name: _sample(parameter.kind) for parameter in compiled.parameters if parameter.required}
    return await executor._fetch(compiled._replace(sql=f"{how} {compiled.sql}"), compiled.bind(arguments))  # noqa: SLF001  # the same package


def _of_large(sizes: Mapping[str, int]) -> Iterator[str]:
    for table, rows in sizes.items():
        if rows >= LARGE:
            yield f"reads all of {table}, {rows:,} rows: it needs an index"


async def _size_of(executor: Executor, table: str) -> int:
    counted = query(
        "explain.count",
        {
            "sqlite": text(f'SELECT count(*) FROM "{table}"'),  # noqa: S608  # the name is from the plan
            "postgresql": text(f"SELECT reltuples::bigint FROM pg_class WHERE oid = '\"{table}\"'::regclass"),  # noqa: S608  # as above
        },
        into=int,
    )
    return await executor.one(counted)


def _table_of(alias: str, sql: str, tables: Container[str]) -> str:
    """The table that is meant: a plan has the alias only."""
    named = re.findall(rf'"?(\w+)"? AS "?{alias}"?(?!\w)', sql)
    return next((name for name in named if name in tables), alias)


def _whole_indexes(node: Mapping[str, Any], *, limited: bool) -> Iterator[str]:
    """The tables of which an index is read from end to end, and no limit ends that. A partial index may be small."""
    kind = str(node["Node Type"])
    whole = kind in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    if whole and not limited and ("Filter" in node or node["Plan Rows"] >= LARGE):
        yield str(node["Relation Name"])
    limited = kind == "Limit" or (limited and kind in _PASSES_ON)
    for number, inner in enumerate(node.get("Plans", ())):
        repeated = kind == "Nested Loop" and number > 0
        yield from _whole_indexes(inner, limited=limited and not repeated)


def _has_limit(compiled: Compiled) -> bool:
    return "LIMIT" in compiled.sql


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _named(node: Mapping[str, Any]) -> str:
    on = node.get("Index Name") or node.get("Relation Name")
    return f"{node['Node Type']} {on}" if on else str(node["Node Type"])


def _sample(kind: TypeEngine[Any]) -> Any:
    """A value that a parameter of this type could have."""
    if isinstance(kind, NullType):
        return None  # inside coalesce(), say: the statement alone does not tell
    if isinstance(kind, ARRAY):
        return [_sample(kind.item_type)]
    samples: tuple[tuple[type[TypeEngine[Any]], Any], ...] = (
        (Uuid, new_id()),
        (DateTime, datetime.now(UTC)),
        (String, "lamp"),
        (JSON, "[]"),
        (LargeBinary, bytes(32)),
        (Boolean, True),
        (Numeric, 21.0),
    )
    return next((value for known, value in samples if isinstance(kind, known)), 21)
