"""Named queries: SQL built with SQLAlchemy Core, compiled once for each database, run by name.

The name shows up wherever the query does: in logs, errors and, later, metrics and EXPLAIN.
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

from restwell.database.types import from_sqlite, to_sqlite

T = TypeVar("T")

Convert = Callable[[Any], Any]

DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": postgresql_dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect constructors are untyped
    "sqlite": sqlite_dialect(),
}


class Parameter(NamedTuple):
    """One placeholder of the SQL, in the order the driver wants it. ``constant`` is the value written in the query."""

    name: str
    required: bool
    constant: Any
    convert: Convert | None
    kind: TypeEngine[Any]


class Compiled(NamedTuple):
    """A query's SQL for one database, with what turns arguments into parameters and columns into values."""

    name: str
    sql: str
    reads: bool
    parameters: tuple[Parameter, ...]
    decode: Callable[[Sequence[Any]], Any]

    def bind(self, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments as the driver's parameters. Raises TypeError for a missing or unknown argument."""
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


class Query(Generic[T]):
    """A statement with a name and the type its rows become. Make one with ``query``."""

    __slots__ = ("batch_on", "batched", "columns", "compiled", "into", "name")

    def __init__(
        self, name: str, statement: ClauseElement | Mapping[str, ClauseElement], into: type[T], batch_on: str | None
    ) -> None:
        self.name = name
        self.into = into
        statements = statement if isinstance(statement, Mapping) else dict.fromkeys(DIALECTS, statement)
        self.columns = _columns_of(statements["sqlite"])
        makers = {dialect: _maker(name, into, statements[dialect]) for dialect in DIALECTS}
        self.compiled = {dialect: _compile(name, statements[dialect], dialect, makers[dialect]) for dialect in DIALECTS}
        self.batch_on = batch_on or ""
        self.batched: dict[str, Compiled] = {}
        if batch_on is not None:
            batched = _batched(name, statement, batch_on)
            make = makers["sqlite"]  # one statement for all
            self.batched = {
                dialect: _compile(name, batched, dialect, lambda row: (row[0], make(row[1:]))) for dialect in DIALECTS
            }

    def __repr__(self) -> str:
        return f"<Query {self.name}>"


Statement = ClauseElement | Mapping[str, ClauseElement]


@overload
def query(name: str, statement: Statement) -> Query[None]: ...


@overload
def query(name: str, statement: Statement, into: type[T], *, batch_on: str | None = None) -> Query[T]: ...


def query(name: str, statement: Statement, into: Any = NoneType, *, batch_on: str | None = None) -> Query[Any]:
    """Compile ``statement`` for every database under ``name``.

    A mapping gives a statement for each dialect, where SQL itself differs. ``into`` is what each row becomes: a Struct, dataclass,
    NamedTuple, TypedDict or Pydantic model, whose fields are the columns (one with a default need not be); ``dict`` or ``tuple``; or
    the type of the only column. A Pydantic model validates each row, the others take the database's values as they are.

    Raises TypeError, so at import, where ``into`` cannot hold what is selected. ``text(...)`` does not tell what it selects: a row
    that does not fit is then a TypeError when it is read, and for fields say ``text(...).columns(...)``.

    ``batch_on`` names the only argument of a read by unique key, ``column == param(...)``: outside transactions, reads
    asked for together are then one statement.
    """
    return Query(name, statement, into, batch_on)


def param(name: str) -> BindParameter[Any]:
    """A named argument of a query; its type is that of what it is compared with or stored in."""
    return bindparam(name, required=True)


class any_of(ColumnElement[bool]):  # noqa: N801  # reads as the SQL function it stands for
    """``column`` is one of the values of an argument, a sequence that is not empty: one parameter, however many values."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], argument: str) -> None:
        self.column = column
        self.values: BindParameter[Any] = bindparam(argument, type_=ARRAY(column.type), required=True)

    def self_group(self, against: Any = None) -> Self:  # noqa: ARG002  # SQLAlchemy's signature
        """Stand in WHERE as it is: a comparison with true would hide the column's index from SQLite."""
        return self


@compiles(any_of, "postgresql")
def _any_of_on_postgresql(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column == any_(element.values), **options)


@compiles(any_of, "sqlite")
def _any_of_on_sqlite(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    values: Select[Any] = select(literal_column("value")).select_from(func.carray(element.values))
    return compiler.process(element.column.in_(values), **options)


def _columns_of(statement: ClauseElement) -> tuple[str | None, ...]:
    """The names of what it selects; of an expression without a label, None."""
    return tuple(getattr(column, "name", None) for column in getattr(statement, "exported_columns", ()))


def _maker(name: str, into: Any, statement: ClauseElement) -> Callable[[Sequence[Any]], Any]:
    """What makes ``into`` of a row. Raises TypeError where it cannot hold the columns."""
    columns = _columns_of(statement)
    kind = get_origin(into) or into
    called = getattr(into, "__name__", str(into))
    has_text = any(isinstance(part, TextClause) for part in iterate(statement))
    selected = ", ".join(map(str, columns)) or ("what its text says" if has_text else "nothing")

    def refusal(reason: str) -> TypeError:
        return TypeError(f"query {name} selects {selected}: {reason}")

    fields = _fields_of(kind)
    if kind in {None, NoneType}:
        error = refusal("say what each row becomes, into=...")
        if columns:
            raise error
        return _fitting(0, error)
    if fields is None and kind not in {dict, tuple}:
        error = refusal(
            f"{called} takes exactly one column; for more say into= a Struct, dataclass, NamedTuple, TypedDict or Pydantic model with "
            "these fields, dict or tuple"
        )
        if len(columns) != 1 and not has_text:
            raise error
        return _fitting(1, error) if has_text else itemgetter(0)
    if not columns and not (has_text and kind is tuple):
        cure = "say text(...).columns(...)" if has_text else "add .returning(...), or leave into= out"
        raise refusal(f"{called} needs columns: {cure}")
    if kind is tuple:
        return tuple
    fault = _fault(called, columns, fields)
    if fault is not None:
        raise refusal(fault)
    return _record_maker(kind, [str(column) for column in columns])


def _fault(called: str, columns: Sequence[str | None], fields: Mapping[str, bool] | None) -> str | None:
    """Why a dict, or a record with these fields, does not hold the columns."""
    if None in columns or len(set(columns)) < len(columns):
        return f"{called} needs each column under a name of its own: give it one, .label(...)"
    if fields is None:
        return None
    unknown = [str(column) for column in columns if column not in fields]
    missing = [field for field, required in fields.items() if required and field not in columns]
    faults = [f"{called} has no {', '.join(unknown)}: add the field, or select less"] if unknown else []
    if missing:
        faults.append(f"{called} needs {', '.join(missing)}: select it, or give the field a default")
    return "; ".join(faults) or None


def _fields_of(kind: Any) -> dict[str, bool] | None:
    """The fields of a kind of record, and whether each must be given; None where it is no record."""
    if is_typeddict(kind):
        return {field: field in kind.__required_keys__ for field in kind.__annotations__}
    if not isinstance(kind, type):
        return None
    if issubclass(kind, BaseModel):
        return {field: info.is_required() for field, info in kind.model_fields.items()}
    if issubclass(kind, Struct) or is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        parameters = inspect.signature(kind).parameters
        return {field: one.default is inspect.Parameter.empty for field, one in parameters.items()}
    return None


def _record_maker(kind: Any, columns: list[str]) -> Callable[[Sequence[Any]], Any]:
    if kind is dict or is_typeddict(kind):
        return lambda row: dict(zip(columns, row, strict=True))
    if issubclass(kind, BaseModel):
        return lambda row: kind.model_validate(dict(zip(columns, row, strict=True)), by_alias=False, by_name=True)
    parameters = list(inspect.signature(kind).parameters.values())[: len(columns)]
    if [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD] == columns:
        return lambda row: kind(*row)
    return lambda row: kind(**dict(zip(columns, row, strict=True)))


def _fitting(count: int, error: TypeError) -> Callable[[Sequence[Any]], Any]:
    """For statements of which only their rows tell how many columns there are."""

    def make(row: Sequence[Any]) -> Any:
        if len(row) != count:
            raise TypeError(*error.args)
        return row[0]

    return make


def _converting(
    converts: Sequence[Convert | None], make: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any]:
    """``make`` behind the conversion of those columns that need one."""
    needed = [(index, convert) for index, convert in enumerate(converts) if convert is not None]
    if not needed:
        return make

    def decode(row: Sequence[Any]) -> Any:
        values = list(row)
        for index, convert in needed:
            if values[index] is not None:
                values[index] = convert(values[index])
        return make(values)

    return decode


def _compile(name: str, statement: ClauseElement, dialect: str, make: Callable[[Sequence[Any]], Any]) -> Compiled:
    compiled = cast("SQLCompiler", statement.compile(dialect=DIALECTS[dialect]))
    on_sqlite = dialect == "sqlite"
    parameters = tuple(
        Parameter(key, bind.required, bind.value, to_sqlite(bind.type) if on_sqlite else None, bind.type)
        for key in compiled.positiontup or ()
        for bind in (compiled.binds[key],)
    )
    converts = [from_sqlite(kind) for kind in _result_types(statement)] if on_sqlite else []
    reads = bool(getattr(statement, "is_select", False))
    # The name goes along: pg_stat_activity, pg_stat_statements and the server's own log show it.
    sql = compiled.string if on_sqlite else f"{compiled.string} /* {name} */"
    return Compiled(name, sql, reads, parameters, _converting(converts, make))


def _batched(name: str, statement: ClauseElement | Mapping[str, ClauseElement], batch_on: str) -> Select[Any]:
    """The read by key as a read by any of several keys; the key comes first in each row. Raises TypeError."""
    found: list[ColumnElement[Any]] = []

    def replace(element: Any, **_: Any) -> any_of | None:
        right = element.right if isinstance(element, BinaryExpression) else None
        if isinstance(right, BindParameter) and right.key == batch_on:
            found.append(element.left)
            return any_of(element.left, batch_on)
        return None

    if not isinstance(statement, Select):
        raise TypeError(f"query {name} cannot be batched: it is not one SELECT")
    replaced = cast("Select[Any]", replacement_traverse(statement, {}, replace))
    others = [bind.key for bind in iterate(replaced) if isinstance(bind, BindParameter) and bind.required]
    if len(found) != 1 or others not in ([], [batch_on]):
        raise TypeError(f"query {name} cannot be batched on {batch_on}: it is not its only argument, compared once")
    return replaced.with_only_columns(found[0].label("batch_key"), *statement.selected_columns)


def _result_types(statement: ClauseElement) -> list[TypeEngine[Any]]:
    return [column.type for column in getattr(statement, "exported_columns", ())]
