"""Named queries: SQLAlchemy Core statements, compiled once for each database.

Logs, errors, metrics, traces and EXPLAIN identify a query by its name.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from operator import itemgetter
from types import NoneType
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar, cast, get_origin, is_typeddict, overload

from msgspec import Struct
from pydantic import BaseModel
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    TextClause,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite.pysqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlalchemy.types import TypeEngine

from restwell.database._types import from_sqlite, to_sqlite

T = TypeVar("T")

Convert = Callable[[Any], Any]

DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": postgresql_dialect(),  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
    "sqlite": sqlite_dialect(),
}


class Parameter(NamedTuple):
    """One placeholder of the SQL, in the driver's order.

    ``constant`` is the value of a parameter that is not an argument.
    """

    name: str
    required: bool
    constant: Any
    convert: Convert | None
    kind: TypeEngine[Any]


class Compiled(NamedTuple):
    """A query's SQL for one database, with the conversions of its arguments and rows."""

    name: str
    sql: str
    reads: bool
    parameters: tuple[Parameter, ...]
    decode: Callable[[Sequence[Any]], Any]

    def bind(self, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        """Convert arguments to the driver's parameters. Raises TypeError for a missing or unknown argument."""
        values = []
        known = 0
        for name, required, constant, convert, _ in self.parameters:
            if required:
                try:
                    value = arguments[name]
                except KeyError:
                    raise TypeError(f"query {self.name} needs the argument {name!r}") from None
                known += 1
            else:
                value = constant
            values.append(convert(value) if convert is not None and value is not None else value)
        if len(arguments) > known:
            raise TypeError(f"query {self.name} has no argument {', '.join(sorted(self._unknown(arguments)))}")
        return tuple(values)

    def _unknown(self, arguments: Mapping[str, Any]) -> set[str]:
        return set(arguments) - {parameter.name for parameter in self.parameters if parameter.required}


known_queries: "Final[dict[str, Query[Any]]]" = {}
"""Every query that was created in this process, by name."""


class Query(Generic[T]):
    """A statement with a name and a row type. Created by ``query``."""

    __slots__ = ("batch_on", "batched", "columns", "compiled", "group_by", "into", "name")

    def __init__(
        self,
        name: str,
        statement: ClauseElement | Mapping[str, ClauseElement],
        into: type[T],
        batch_on: str | None,
    ) -> None:
        self.name = name
        known_queries[name] = self
        self.into = into
        statements = statement if isinstance(statement, Mapping) else dict.fromkeys(DIALECTS, statement)
        if not all(isinstance(each, ClauseElement) for each in statements.values()):
            raise TypeError(f"query {name} is no statement of SQLAlchemy: use select(...), insert(...) or text(...)")
        self.columns = _columns_of(statements["sqlite"])
        factories = {dialect: _row_factory(name, into, statements[dialect]) for dialect in DIALECTS}
        self.compiled = {
            dialect: _compile(name, statements[dialect], dialect, factories[dialect]) for dialect in DIALECTS
        }
        self.batch_on = batch_on or ""
        self.group_by: tuple[str, ...] | None = None
        self.batched: dict[str, Compiled] = {}
        if batch_on is not None:
            batched = _batched(name, statement, batch_on)
            self.batched = {
                dialect: _compile(name, batched, dialect, _numbered(factories[dialect])) for dialect in DIALECTS
            }

    def _batch_lists(self, group_by: tuple[str, ...], statement: ClauseElement | None) -> None:
        """Read lists that differ in these arguments with one statement of PostgreSQL, which has an array of each.

        Its first column is the number of the list, from 1. Without arguments there is none.
        """
        self.group_by = group_by
        if statement is not None:
            factory = _numbered(self.compiled["postgresql"].decode)
            self.batched["postgresql"] = _compile(self.name, statement, "postgresql", factory)

    def __repr__(self) -> str:
        return f"<Query {self.name}>"


Statement = ClauseElement | Mapping[str, ClauseElement]


@overload
def query(name: str, statement: Statement) -> Query[None]: ...


@overload
def query(name: str, statement: Statement, into: type[T], *, batch_on: str | None = None) -> Query[T]: ...


def query(name: str, statement: Statement, into: Any = NoneType, *, batch_on: str | None = None) -> Query[Any]:
    """Compile ``statement`` for every database under ``name``.

    A mapping gives one statement for each dialect, where the SQL differs. ``into`` is the row type: a Struct,
    dataclass, NamedTuple, TypedDict or Pydantic model with a field for each column (more fields need defaults);
    ``dict`` or ``tuple``; or the type of the only column. Only a Pydantic model validates the rows.

    Raises TypeError if the selected columns do not match ``into``. ``text(...)`` does not declare its columns: use
    ``text(...).columns(...)`` for a type with fields; otherwise a mismatch raises TypeError when a row is read.

    ``batch_on`` names the only argument of a read by unique key, ``column == param(...)``. Concurrent reads outside
    transactions then become one statement.
    """
    return Query(name, statement, into, batch_on)


def param(name: str) -> BindParameter[Any]:
    """A named argument of a query. Its type is inferred from the column that it is compared with or stored in."""
    return bindparam(name, required=True)


class any_of(ColumnElement[bool]):  # noqa: N801  # used as a function
    """``column`` equals one of the values of an argument, a non-empty sequence, which is bound as one parameter."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], argument: str) -> None:
        self.column = column
        self.values: BindParameter[Any] = bindparam(argument, type_=ARRAY(column.type), required=True)

    def self_group(self, against: Any = None) -> Self:  # noqa: ARG002  # SQLAlchemy's signature
        """Return self: SQLAlchemy would add ``= 1``, and SQLite would not use the index of the column."""
        return self


@compiles(any_of, "postgresql")
def _any_of_on_postgresql(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column == any_(element.values), **options)


@compiles(any_of, "sqlite")
def _any_of_on_sqlite(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    values: Select[Any] = select(literal_column("value")).select_from(func.carray(element.values))
    return compiler.process(element.column.in_(values), **options)


def _columns_of(statement: ClauseElement) -> tuple[str | None, ...]:
    """The names of the selected columns; None for an expression without a label."""
    return tuple(getattr(column, "name", None) for column in getattr(statement, "exported_columns", ()))


def _row_factory(name: str, into: Any, statement: ClauseElement) -> Callable[[Sequence[Any]], Any]:
    """The function that converts a row to ``into``. Raises TypeError if the columns do not match."""
    columns = _columns_of(statement)
    if into is not None and not isinstance(into, type) and get_origin(into) is None:
        raise TypeError(f"query {name}: into= must be a type, not {into!r}")
    kind = get_origin(into) or into
    type_name = getattr(into, "__name__", str(into))
    has_text = any(isinstance(part, TextClause) for part in iterate(statement))
    selected = ", ".join(map(str, columns)) or ("undeclared columns of text()" if has_text else "nothing")

    def invalid(reason: str) -> TypeError:
        return TypeError(f"query {name} selects {selected}: {reason}")

    fields = fields_of(kind)
    if kind in {None, NoneType}:
        error = invalid("declare the row type with into=...")
        if columns:
            raise error
        return _checked_count(0, error)
    if fields is None and kind not in {dict, tuple}:
        error = invalid(
            f"{type_name} takes exactly one column; for more, use into= with a Struct, dataclass, NamedTuple, TypedDict"
            " or Pydantic model with these fields, dict or tuple"
        )
        if len(columns) != 1 and not has_text:
            raise error
        return _checked_count(1, error) if has_text else itemgetter(0)
    if not columns and not (has_text and kind is tuple):
        hint = "use text(...).columns(...)" if has_text else "add .returning(...), or omit into="
        raise invalid(f"{type_name} needs columns: {hint}")
    if kind is tuple:
        return tuple
    mismatch = _mismatch(type_name, columns, fields)
    if mismatch is not None:
        raise invalid(mismatch)
    return _record_factory(kind, [str(column) for column in columns])


def _mismatch(type_name: str, columns: Sequence[str | None], fields: Mapping[str, bool] | None) -> str | None:
    """Why the columns do not match a dict, or a record with these fields; None if they do."""
    if None in columns or len(set(columns)) < len(columns):
        return f"{type_name} needs a unique name for each column: add .label(...)"
    if fields is None:
        return None
    unknown = [str(column) for column in columns if column not in fields]
    missing = [field for field, required in fields.items() if required and field not in columns]
    faults = [f"{type_name} has no {', '.join(unknown)}: add the field, or select less"] if unknown else []
    if missing:
        faults.append(f"{type_name} needs {', '.join(missing)}: select it, or give the field a default")
    return "; ".join(faults) or None


def fields_of(kind: Any) -> dict[str, bool] | None:
    """The fields of a record type, and whether each is required; None if it is not a record type."""
    if is_typeddict(kind):
        return {field: field in kind.__required_keys__ for field in kind.__annotations__}
    if not isinstance(kind, type):
        return None
    if issubclass(kind, BaseModel):
        return {field: info.is_required() for field, info in kind.model_fields.items()}
    if issubclass(kind, Struct) or is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        parameters = inspect.signature(kind).parameters
        return {field: parameter.default is inspect.Parameter.empty for field, parameter in parameters.items()}
    return None


def _record_factory(kind: Any, columns: list[str]) -> Callable[[Sequence[Any]], Any]:
    if kind is dict or is_typeddict(kind):
        return lambda row: dict(zip(columns, row, strict=True))
    if issubclass(kind, BaseModel):
        return lambda row: kind.model_validate(dict(zip(columns, row, strict=True)), by_alias=False, by_name=True)
    parameters = list(inspect.signature(kind).parameters.values())[: len(columns)]
    if [
        parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ] == columns:
        return lambda row: kind(*row)
    return lambda row: kind(**dict(zip(columns, row, strict=True)))


def _checked_count(count: int, error: TypeError) -> Callable[[Sequence[Any]], Any]:
    """A row factory that checks the number of columns, for statements that do not declare them."""

    def factory(row: Sequence[Any]) -> Any:
        if len(row) != count:
            raise TypeError(*error.args)
        return row[0]

    return factory


def _numbered(factory: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
    """The factory of a batch: the first column says whose row it is."""
    return lambda row: (row[0], factory(row[1:]))


def _with_conversions(
    converts: Sequence[Convert | None], factory: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any]:
    """``factory``, applied after the conversions of columns."""
    needed = [(index, convert) for index, convert in enumerate(converts) if convert is not None]
    if not needed:
        return factory

    def decode(row: Sequence[Any]) -> Any:
        values = list(row)
        for index, convert in needed:
            if values[index] is not None:
                values[index] = convert(values[index])
        return factory(values)

    return decode


def _compile(name: str, statement: ClauseElement, dialect: str, factory: Callable[[Sequence[Any]], Any]) -> Compiled:
    compiled = cast("SQLCompiler", statement.compile(dialect=DIALECTS[dialect]))
    on_sqlite = dialect == "sqlite"
    parameters = tuple(
        Parameter(key, bind.required, bind.value, to_sqlite(bind.type) if on_sqlite else None, bind.type)
        for key in compiled.positiontup or ()
        for bind in (compiled.binds[key],)
    )
    converts = [from_sqlite(kind) for kind in _result_types(statement)] if on_sqlite else []
    reads = bool(getattr(statement, "is_select", False))
    # pg_stat_activity, pg_stat_statements and the server log show the name.
    sql = compiled.string if on_sqlite else f"{compiled.string} /* {name} */"
    return Compiled(name, sql, reads, parameters, _with_conversions(converts, factory))


def _batched(name: str, statement: ClauseElement | Mapping[str, ClauseElement], batch_on: str) -> Select[Any]:
    """Rewrite a read by key to a read by several keys, with the key as the first column. Raises TypeError."""
    found: list[ColumnElement[Any]] = []

    def replace(element: Any, **_: Any) -> any_of | None:
        right = element.right if isinstance(element, BinaryExpression) else None
        if isinstance(right, BindParameter) and right.key == batch_on:
            found.append(element.left)
            return any_of(element.left, batch_on)
        return None

    if not isinstance(statement, Select):
        raise TypeError(f"query {name} cannot be batched: it is not a SELECT")
    replaced = cast("Select[Any]", replacement_traverse(statement, {}, replace))
    others = [bind.key for bind in iterate(replaced) if isinstance(bind, BindParameter) and bind.required]
    if len(found) != 1 or others not in ([], [batch_on]):
        raise TypeError(f"query {name} cannot be batched on {batch_on}: it must be its only argument, compared once")
    return replaced.with_only_columns(found[0].label("batch_key"), *statement.selected_columns)


def _result_types(statement: ClauseElement) -> list[TypeEngine[Any]]:
    return [column.type for column in getattr(statement, "exported_columns", ())]
