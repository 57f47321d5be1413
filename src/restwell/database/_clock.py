"""The database's clock in SQL, so that all machines use the same time."""

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Float, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from restwell.database._types import Timestamp

_SQLITE_NOW = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"


class db_now(ColumnElement[datetime]):  # noqa: N801  # reads as the SQL function it stands for
    """The current time; on PostgreSQL, the start of the transaction.

    ``in_seconds`` names an argument that is added, in seconds.
    """

    inherit_cache = False
    type = Timestamp

    def __init__(self, in_seconds: str | None = None) -> None:
        self.seconds: BindParameter[Any] | None = (
            bindparam(in_seconds, type_=Float(), required=True) if in_seconds is not None else None
        )


@compiles(db_now, "postgresql")
def _db_now_on_postgresql(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    if element.seconds is None:
        return "now()"
    return f"(now() + make_interval(secs => {compiler.process(element.seconds, **options)}))"


@compiles(db_now, "sqlite")
def _db_now_on_sqlite(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    if element.seconds is None:
        return _SQLITE_NOW
    return f"({_SQLITE_NOW} + CAST({compiler.process(element.seconds, **options)} * 1000000 AS INTEGER))"
