"""The database's own clock in SQL: one time for all who use it, whatever the clocks of their machines say."""

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Float, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from restwell.database.types import Timestamp

_SQLITE_NOW = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"


class db_now(ColumnElement[datetime]):  # noqa: N801  # reads as the SQL function it stands for
    """The time now, when the transaction began on PostgreSQL; with ``in_seconds``, so many seconds from now, named as an argument."""

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
