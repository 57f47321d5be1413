"""Statements whose columns come from the table or from a record type, so that no column is named twice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Insert, Table, insert, null
from sqlalchemy.dialects import postgresql, sqlite

from restwell.database._query import fields_of, param

Columns = type[Any] | Iterable[str] | None
"""A record type, names of columns, or None for every column of the table."""


def columns_of(table: FromClause, kind: type[Any], /, **computed: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """What to select for a record type: for each field the column of that name, or the expression in ``computed``.

    Raises TypeError for a field without either.
    """
    fields = _fields(kind)
    for name in fields:
        if name not in computed and name not in table.c:
            raise TypeError(
                f"{table.description} has no column {name} for {kind.__name__}.{name}: "
                f"rename the field, or pass {name}= to columns_of"
            )
    return tuple(computed[name].label(name) if name in computed else table.c[name] for name in fields)


def insert_row(table: Table, columns: Columns = None, /, **values: Any) -> Insert:
    """An INSERT of one row. The columns, without those of ``values``, are arguments of the query.

    A row that is a Struct is passed as ``**msgspec.structs.asdict(row)``. ``values`` are SQL expressions or constants,
    for every row the same.
    """
    return insert(table).values(_values(table, columns, values))


def insert_or_ignore(
    table: Table, columns: Columns = None, /, *, returning: Sequence[ColumnElement[Any]] = (), **values: Any
) -> dict[str, Insert]:
    """``insert_row`` for both databases that inserts nothing, and returns no row, if a unique key exists."""
    row = _values(table, columns, values)
    statements: dict[str, Insert] = {
        "postgresql": postgresql.insert(table).values(row).on_conflict_do_nothing(),
        "sqlite": sqlite.insert(table).values(row).on_conflict_do_nothing(),
    }
    return _returning(statements, returning)


def upsert(
    table: Table,
    columns: Columns = None,
    /,
    *,
    on: Sequence[str] = (),
    update: Mapping[str, Any] | None = None,
    where: ColumnElement[bool] | None = None,
    returning: Sequence[ColumnElement[Any]] = (),
    **values: Any,
) -> dict[str, Insert]:
    """``insert_row`` for both databases that updates the row if its key exists.

    ``on`` names the columns of a unique key, by default the primary key. ``update`` is what to set, by default every
    other column to its new value. With ``where``, a row that does not satisfy it is left as it is.
    """
    row = _values(table, columns, values)
    key = list(on) or [column.name for column in table.primary_key]
    statements: dict[str, Insert] = {}
    for dialect, into in (("postgresql", postgresql.insert(table)), ("sqlite", sqlite.insert(table))):
        changes = {name: into.excluded[name] for name in row if name not in key} if update is None else update
        statement = into.values(row).on_conflict_do_update(index_elements=key, set_=changes, where=where)
        statements[dialect] = statement
    return _returning(statements, returning)


def _returning(statements: dict[str, Insert], columns: Sequence[ColumnElement[Any]]) -> dict[str, Insert]:
    if not columns:
        return statements
    return {dialect: statement.returning(*columns) for dialect, statement in statements.items()}


def _values(table: Table, columns: Columns, values: Mapping[str, Any]) -> dict[str, Any]:
    if columns is None:
        columns = table.c.keys()
    names = _fields(columns) if isinstance(columns, type) else dict.fromkeys(columns)
    _check_columns(table, [*names, *values])
    fixed = {name: null() if value is None else value for name, value in values.items()}
    return {name: param(name) for name in names} | fixed


def _fields(kind: type[Any]) -> Mapping[str, Any]:
    fields = fields_of(kind)
    if fields is None:
        raise TypeError(f"{kind.__name__} is no Struct, dataclass, NamedTuple, TypedDict or Pydantic model")
    return fields


def _check_columns(table: FromClause, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in table.c]
    if unknown:
        raise TypeError(f"{table.description} has no column {', '.join(unknown)}")
