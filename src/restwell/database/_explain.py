"""Finds named queries that do not scale, from their query plans.

Each query is planned with sample values of its parameter types and is not executed. PostgreSQL's estimates depend on
its statistics, so run ANALYZE first.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, JSON, Boolean, Date, DateTime, LargeBinary, Numeric, String, Uuid, text
from sqlalchemy.types import NullType, TypeEngine

from restwell.database._facade import Database
from restwell.database._page_query import PageQuery
from restwell.database._query import Compiled, Query, query
from restwell.database._transaction import Executor
from restwell.database._types import FixedPoint
from restwell.ids import new_id

QuerySource = ModuleType | Query[Any] | PageQuery[Any] | Callable[[], Iterable["Query[Any] | PageQuery[Any]"]]

LARGE_TABLE_ROWS: Final = 10_000
"""A full scan of a table with at least this many rows is a finding."""
MAX_UNLIMITED_ROWS: Final = 1_000
"""A result of more rows than this needs a LIMIT."""

_AGGREGATE: Final = re.compile(r"SELECT (?:count|sum|min|max|avg)\(", re.IGNORECASE)
_SCAN: Final = re.compile(r"SCAN (?P<table>\w+)(?P<index> USING (?:COVERING )?INDEX \w+)?(?: LEFT-JOIN)?")
_AUTOMATIC_INDEX: Final = re.compile(r"SEARCH (\w+) USING AUTOMATIC .*")
"""An automatic index: SQLite scans the whole table to build it for one statement."""
_LIMIT_APPLIES_BELOW: Final = frozenset(
    {"Limit", "LockRows", "Result", "Subquery Scan", "Nested Loop", "Append", "Merge Append", "Gather", "Gather Merge"}
)
"""Plan nodes that read no more rows than their parent requests, so a LIMIT above them applies."""

# Without an index that begins with the foreign key, a delete or update of a parent row scans the whole child table.
_unindexed_foreign_keys: Final = query(
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
    """The plan of one query. ``findings`` lists its problems and is empty if there are none."""

    query: str
    summary: str
    findings: tuple[str, ...]


def find_queries(*sources: QuerySource) -> Iterator[Query[Any]]:
    """Every query at the top level of the modules, and every query that is given or returned by a function.

    A page query is two queries. A function is for queries that are built when they are needed.
    """
    for source in sources:
        if isinstance(source, Query):
            yield source
        elif isinstance(source, PageQuery):
            yield from (source.first, source.next)
        elif isinstance(source, ModuleType):
            yield from find_queries(*(value for value in vars(source).values() if isinstance(value, Query | PageQuery)))
        else:
            yield from find_queries(*source())


async def explain_queries(database: Database, queries: Iterable[Query[Any]]) -> list[Plan]:
    """The plan of each query; for a batched query also the plan of its batch."""
    plan = _explain_on_sqlite if database.dialect == "sqlite" else _explain_on_postgresql
    forms = [form for one in queries for form in (one.compiled, one.batched)]
    return [await plan(database.primary, form[database.dialect]) for form in forms if database.dialect in form]


async def unindexed_foreign_keys(database: Database) -> list[str]:
    """Foreign keys without an index that begins with their columns.

    Each is ``table.constraint``, on SQLite ``table.column``.
    """
    return await database.all(_unindexed_foreign_keys)


async def _explain_on_sqlite(executor: Executor, compiled: Compiled) -> Plan:
    rows = await _run(executor, compiled, "EXPLAIN QUERY PLAN")
    steps = [str(row[-1]) for row in rows]
    scans = [match for step in steps if (match := _SCAN.fullmatch(step))]
    if _has_limit(compiled) and not any("TEMP B-TREE" in step for step in steps):
        # The rows are read in index or rowid order, and the scan ends at the limit.
        scans = [scan for scan in scans if not scan["index"] and "WHERE" in compiled.sql]
    scanned = [scan["table"] for scan in scans]
    scanned += [match[1] for step in steps if (match := _AUTOMATIC_INDEX.fullmatch(step))]
    tables = set(await executor.all(_tables))
    named = [_table_of_alias(alias, compiled.sql, tables) for alias in scanned]
    sizes = {
        table: await _row_count(executor, table) for table in named if table in tables
    }  # a CTE or subquery has no size
    findings = list(_large_table_findings(sizes))
    unlimited = compiled.reads and not _has_limit(compiled) and not _AGGREGATE.match(compiled.sql)
    if unlimited and max(sizes.values(), default=0) > MAX_UNLIMITED_ROWS:
        findings.append(f"may return {_rows(max(sizes.values()))} without a limit: add .limit(param(...))")
    return Plan(compiled.name, " · ".join(steps), tuple(findings))


async def _explain_on_postgresql(executor: Executor, compiled: Compiled) -> Plan:
    rows = await _run(executor, compiled, "EXPLAIN (FORMAT JSON)")
    root = msgspec.json.decode(rows[0][0])[0]["Plan"]
    nodes = list(_nodes(root))
    scanned = [str(node["Relation Name"]) for node in nodes if node["Node Type"] == "Seq Scan"]
    scanned += _full_index_scans(root, limited=_has_limit(compiled))
    findings = list(_large_table_findings({table: await _row_count(executor, table) for table in scanned}))
    if compiled.reads and not _has_limit(compiled) and root["Plan Rows"] > MAX_UNLIMITED_ROWS:
        findings.append(f"may return {_rows(root['Plan Rows'])} without a limit: add .limit(param(...))")
    return Plan(compiled.name, " · ".join(_node_summary(node) for node in nodes), tuple(findings))


async def _run(executor: Executor, compiled: Compiled, how: str) -> Any:
    arguments = {
        parameter.name: _sample_value(parameter.kind) for parameter in compiled.parameters if parameter.required
    }
    explained = compiled._replace(sql=f"{how} {compiled.sql}")
    return await executor._fetch(explained, compiled.bind(arguments))  # noqa: SLF001  # same package


def _large_table_findings(sizes: Mapping[str, int]) -> Iterator[str]:
    for table, rows in sizes.items():
        if rows >= LARGE_TABLE_ROWS:
            yield f"scans all of {table}, {_rows(rows)}: add an index"


def _rows(count: int) -> str:
    return f"more than {LARGE_TABLE_ROWS:,} rows" if count > LARGE_TABLE_ROWS else f"{count:,} rows"


async def _row_count(executor: Executor, table: str) -> int:
    """The number of rows; on SQLite at most one more than LARGE_TABLE_ROWS."""
    counted = query(
        "explain.count",
        {
            # The name of the table is from the plan.
            "sqlite": text(
                f'SELECT count(*) FROM (SELECT 1 FROM "{table}" LIMIT {LARGE_TABLE_ROWS + 1})'  # noqa: S608
            ),
            "postgresql": text(
                f"SELECT reltuples::bigint FROM pg_class WHERE oid = '\"{table}\"'::regclass"  # noqa: S608
            ),
        },
        into=int,
    )
    compiled = counted.compiled[executor.dialect]
    rows = await executor._fetch(compiled, ())  # noqa: SLF001  # same package; not counted as a query of the request
    return int(rows[0][0])


def _table_of_alias(alias: str, sql: str, tables: Container[str]) -> str:
    """The table of an alias: a plan contains only the alias."""
    named = re.findall(rf'"?(\w+)"? AS "?{alias}"?(?!\w)', sql)
    return next((name for name in named if name in tables), alias)


def _full_index_scans(node: Mapping[str, Any], *, limited: bool) -> Iterator[str]:
    """The tables with a full index scan that no LIMIT stops. A small partial index is no problem."""
    kind = str(node["Node Type"])
    whole = kind in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    if whole and not limited and ("Filter" in node or node["Plan Rows"] >= LARGE_TABLE_ROWS):
        yield str(node["Relation Name"])
    limited = kind == "Limit" or (limited and kind in _LIMIT_APPLIES_BELOW)
    for number, inner in enumerate(node.get("Plans", ())):
        repeated = kind == "Nested Loop" and number > 0
        yield from _full_index_scans(inner, limited=limited and not repeated)


def _has_limit(compiled: Compiled) -> bool:
    return "LIMIT" in compiled.sql


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _node_summary(node: Mapping[str, Any]) -> str:
    on = node.get("Index Name") or node.get("Relation Name")
    return " ".join(filter(None, (str(node["Node Type"]), on, node.get("Index Cond"))))


def _sample_value(kind: TypeEngine[Any]) -> Any:
    """A sample value of a parameter type."""
    if isinstance(kind, NullType):
        return None  # the type is unknown, for example inside coalesce()
    if isinstance(kind, ARRAY):
        return [_sample_value(kind.item_type)]
    samples: tuple[tuple[type[TypeEngine[Any]], Any], ...] = (
        (Uuid, new_id()),
        (Date, datetime.now(UTC).date()),
        (DateTime, datetime.now(UTC)),
        (String, "lamp"),
        (JSON, "[]"),
        (LargeBinary, bytes(32)),
        (Boolean, True),
        (Numeric, 21.0),
        (FixedPoint, 0),  # which fits any number of digits
    )
    return next((value for known, value in samples if isinstance(kind, known)), 21)
