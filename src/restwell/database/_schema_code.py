"""Tables, columns and indexes of SQLAlchemy as the Python code that a migration has."""

import json
import re
from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Any, Final

import sqlalchemy
from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Column,
    DefaultClause,
    ForeignKeyConstraint,
    Index,
    Table,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateColumn
from sqlalchemy.sql.functions import Function
from sqlalchemy.types import TypeEngine

from restwell.database._query import DIALECTS
from restwell.database._types import Flag, Id, Timestamp
from restwell.errors import ConfigurationError

_OWN: Final = {"Flag": Flag, "Id": Id, "Timestamp": Timestamp}


class Code:
    """Renders code and collects what it imports, ``names`` by module."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}

    def create_table(self, table: Table, name: str = "", **chosen: Any) -> str:
        items = [quoted(name or table.name), *self._parts(table, **chosen)]
        return "\n".join(["op.create_table(", *(f"    {each}," for each in items), ")"])

    def _parts(
        self, table: Table, nullable: Collection[str] = (), constraints: Collection[object] | None = None
    ) -> Iterable[str]:
        """Its columns and constraints; of the constraints only ``constraints``, and ``nullable`` columns as such."""
        for column in table.columns:
            yield self.column(column, nullable=column.nullable or column.name in nullable)
        for each in sorted(table.constraints, key=lambda one: (type(one).__name__, str(one.name), str(one))):
            if constraints is None or each in constraints:
                yield from self._constraint(each)

    def column(self, column: Column[Any], *, nullable: bool) -> str:
        if column.computed is not None or column.identity is not None:
            raise ConfigurationError(
                [f"{column.table.name}.{column.name} is a computed or identity column: write its migration by hand"]
            )
        items = [quoted(column.name), self.type(column.type)]
        if column.primary_key:
            items.append("primary_key=True")
            if column.autoincrement is not True and column.autoincrement != "auto":
                items.append(f"autoincrement={column.autoincrement!r}")
        elif not nullable:
            items.append("nullable=False")
        if column.server_default is not None:
            items.append(f"server_default={self.default(column)}")
        self._use("sqlalchemy", "Column")
        return f"Column({', '.join(items)})"

    def default(self, column: Column[Any]) -> str:
        given = column.server_default
        if given is None:
            return "None"
        argument = given.arg if isinstance(given, DefaultClause) else given
        return quoted(argument) if isinstance(argument, str) else self._text(argument)

    def create_index(self, index: Index, table: str, *, concurrently: bool = False) -> str:
        columns = [quoted(each.name) if isinstance(each, Column) else self._text(each) for each in index.expressions]
        options = ["unique=True"] if index.unique else []
        for name, value in index.dialect_kwargs.items():
            if value is not None and name != "postgresql_concurrently":
                options.append(f"{name}={self._text(value) if isinstance(value, ClauseElement) else repr(value)}")
        return self.index(str(index.name), table, columns, options, concurrently=concurrently)

    def index(
        self, name: str, table: str, columns: Iterable[str], options: Iterable[str] = (), *, concurrently: bool = False
    ) -> str:
        more = [*options, "postgresql_concurrently=True"] if concurrently else options
        columns_code = f"[{', '.join(columns)}]"
        return f"op.create_index({', '.join([quoted(name), quoted(table), columns_code, *more])})"

    def _constraint(self, each: object) -> Iterable[str]:
        if isinstance(each, ForeignKeyConstraint):
            targets = [key.target_fullname for key in each.elements]
            arguments = [f"[{', '.join(map(quoted, names))}]" for names in (each.column_keys, targets)]
            options = {"name": each.name, "ondelete": each.ondelete, "onupdate": each.onupdate}
        elif isinstance(each, UniqueConstraint):
            arguments, options = [quoted(column.name) for column in each.columns], {"name": each.name}
        elif isinstance(each, CheckConstraint):
            arguments, options = [quoted(literal(each.sqltext))], {"name": each.name}
        else:  # the primary key, which its columns declare
            return
        kind = type(each).__name__
        self._use("sqlalchemy", kind)
        given = [f"{name}={quoted(str(value))}" for name, value in options.items() if value]
        yield f"{kind}({', '.join([*arguments, *given])})"

    def type(self, kind: Any) -> str:
        variants = _variants(kind)
        for name, own in _OWN.items():
            if repr((kind, variants)) == repr((own, _variants(own))):
                self._use("restwell.database", name)
                return name
        code = self._plain_type(kind)
        for dialect, variant in variants.items():
            code += f".with_variant({self._plain_type(variant)}, {quoted(dialect)})"
        return code

    def _plain_type(self, kind: TypeEngine[Any]) -> str:
        """Without variants. A dialect may have replaced the class by one of its own, without a public name."""
        for each in type(kind).__mro__:
            for module in (sqlalchemy, postgresql, import_module("restwell.database"), import_module(each.__module__)):
                if getattr(module, each.__name__, None) is each and not each.__name__.startswith(("_", "Asyncpg")):
                    self._use(module.__name__, each.__name__)
                    code = repr(kind).replace(type(kind).__name__, each.__name__, 1)
                    for inner in re.findall(r"\b([A-Z]\w*)\(", code)[1:]:
                        self._use("sqlalchemy", inner)
                    return code
        raise AssertionError  # pragma: no cover  # TypeEngine itself is public

    def _text(self, expression: Any) -> str:
        for name, function in (("true", true), ("false", false)):
            if isinstance(expression, type(function())):
                self._use("sqlalchemy", name)
                return f"{name}()"
        if isinstance(expression, Function) and not expression.clauses.clauses:
            self._use("sqlalchemy", "func")
            return f"func.{expression.name}()"
        self._use("sqlalchemy", "text")
        return f"text({quoted(literal(expression))})"

    def _use(self, module: str, name: str) -> None:
        self.names.setdefault(module, set()).add(name)


def _variants(kind: Any) -> dict[str, TypeEngine[Any]]:
    """The types that ``with_variant`` has given it, by dialect."""
    found = {name: kind.dialect_impl(dialect) for name, dialect in DIALECTS.items()}
    usual = {name: dialect.type_descriptor(kind) for name, dialect in DIALECTS.items()}
    return {name: each for name, each in found.items() if type(each) is not type(usual[name])}


def quoted(text: str) -> str:
    """A literal of Python with double quotes, as formatters write it."""
    return json.dumps(text, ensure_ascii=False)


def sql_name(name: str) -> str:
    """An identifier of SQL, quoted if one of the databases needs it: ``set`` is a word of SQLite only."""
    return max((dialect.identifier_preparer.quote(name) for dialect in DIALECTS.values()), key=len)


def specification(column: Column[Any]) -> str:
    """The column as PostgreSQL's ADD COLUMN takes it."""
    return str(CreateColumn(column).compile(dialect=DIALECTS["postgresql"]))


def literal(expression: Any) -> str:
    """An expression as SQL, with its values."""
    compiled = expression.compile(
        dialect=DIALECTS["postgresql"], compile_kwargs={"literal_binds": True, "include_table": False}
    )
    return str(compiled)
