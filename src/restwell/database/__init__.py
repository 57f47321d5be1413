"""Named queries on SQLite and PostgreSQL: one interface, two drivers, no ORM session."""

from collections.abc import Callable, Sequence

from restwell._database_url import sqlite_path
from restwell._extras import needs_extra
from restwell.database._explain import Plan, explain_queries, find_queries
from restwell.database._facade import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    ForeignKeyViolation,
    TransactionConflict,
    UniqueViolation,
)
from restwell.database._migrations import Migrations
from restwell.database._page_query import PageQuery, page_query
from restwell.database._query import Query, any_of, param, query
from restwell.database._sqlite import SqliteDatabase
from restwell.database._statements import columns_of, insert_or_ignore, insert_row, upsert
from restwell.database._transaction import Executor, RowNotFound, Transaction
from restwell.database._types import FixedPoint, Flag, Id, Timestamp

__all__ = [
    "Database",
    "DatabaseBusy",
    "DatabaseUnavailable",
    "Executor",
    "FixedPoint",
    "Flag",
    "ForeignKeyViolation",
    "Id",
    "Migrations",
    "PageQuery",
    "Plan",
    "Query",
    "RowNotFound",
    "Timestamp",
    "Transaction",
    "TransactionConflict",
    "UniqueViolation",
    "any_of",
    "columns_of",
    "explain_queries",
    "find_queries",
    "insert_or_ignore",
    "insert_row",
    "open_database",
    "page_query",
    "param",
    "query",
    "upsert",
]


def open_database(
    url: str,
    pool_size: int = 10,
    timeout_seconds: float = 5.0,
    replica_urls: Sequence[str] = (),
    session_start: Callable[[], str] | None = None,
) -> Database:
    """The database of a ``sqlite:///file`` or ``postgresql://`` URL. It connects on ``start``.

    No PostgreSQL statement takes longer than ``timeout_seconds``. Reads outside transactions go to replicas that
    satisfy read-your-writes consistency (see ``routing``). ``session_start`` returns SQL that runs first in each
    session of the primary.
    """
    if url.startswith("sqlite:"):
        return SqliteDatabase(sqlite_path(url))
    with needs_extra("postgresql", "DATABASE_URL"):
        from restwell.database._postgres import PostgresDatabase  # noqa: PLC0415  # loaded only if used
        from restwell.database._routing import Replica, RoutedDatabase  # noqa: PLC0415  # as above
    primary = PostgresDatabase(url, pool_size, timeout_seconds, session_start)
    if not replica_urls:
        return primary
    replicas = [
        Replica(replica, pool_size, timeout_seconds, name=f"replica {number}")
        for number, replica in enumerate(replica_urls, start=1)
    ]
    return RoutedDatabase(primary, PostgresDatabase(url, 1, timeout_seconds), replicas)
