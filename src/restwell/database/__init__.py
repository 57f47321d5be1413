"""Named queries on SQLite and PostgreSQL: one facade, two drivers, no ORM session."""

from pathlib import Path

from restwell.database.explain import Plan, plans_of, queries_in, unindexed_foreign_keys
from restwell.database.facade import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    Executor,
    RowMissing,
    Transaction,
    TransactionConflict,
    UniqueViolation,
)
from restwell.database.migrations import Migrations
from restwell.database.postgres import PostgresDatabase
from restwell.database.query import Query, any_of, param, query
from restwell.database.sqlite import SqliteDatabase
from restwell.database.types import Flag, Id, Timestamp

__all__ = [
    "Database",
    "DatabaseBusy",
    "DatabaseUnavailable",
    "Executor",
    "Flag",
    "Id",
    "Migrations",
    "Plan",
    "Query",
    "RowMissing",
    "SqliteDatabase",
    "Timestamp",
    "Transaction",
    "TransactionConflict",
    "UniqueViolation",
    "any_of",
    "open_database",
    "param",
    "plans_of",
    "queries_in",
    "query",
    "unindexed_foreign_keys",
]


def open_database(url: str, pool_size: int = 10, timeout_seconds: float = 5.0) -> Database:
    """The database behind a ``sqlite:///file`` or ``postgresql://`` URL; nothing connects before ``start``.

    Nothing asked of PostgreSQL takes longer than ``timeout_seconds``.
    """
    if url.startswith("sqlite:///"):
        return SqliteDatabase(Path(url.removeprefix("sqlite:///")))
    return PostgresDatabase(url, pool_size, timeout_seconds)
