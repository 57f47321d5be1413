"""What differs between the models and the migrated schema, and the statements that remove each difference.

What only adds is (pre-deploy). What the previous release may still use, or may still violate, is removed or enforced
(post-deploy).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, MetaData, Table, UniqueConstraint

from restwell.database._migration_files import Phase
from restwell.database._schema import (
    ColumnSchema,
    ForeignKeySchema,
    IndexSchema,
    Schema,
    TableSchema,
    complete,
)
from restwell.database._schema_code import Code, literal, quoted, specification, sql_name

_CLOCKS: Final = {"now()", "current_timestamp", "current_date", "current_time"}
"""Defaults that are the same for all rows of a statement, so that PostgreSQL does not write the table again."""
_REWRITE: Final = "add a new column, copy the data and write both, drop the old one in a later release"


class Change(Struct, frozen=True):
    """A difference, as a sentence, and the lines of code that remove it.

    ``plain``: in the transaction of the migration. ``indexes``: built while the database is in use. ``online``:
    constraints that PostgreSQL validates while it is in use; they may be repeated. ``alters``: what SQLite cannot do;
    with ``recreates`` it creates the table again. ``refusal``: why no migration is written.
    """

    table: str
    sentence: str
    phase: Phase = "pre"
    plain: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    alters: tuple[str, ...] = ()
    recreates: bool = False
    refusal: str = ""
    added: str = ""
    """The column that ``plain`` adds."""


class Comparison:
    """Compares the tables of the models, as the database would store them, with those that it has."""

    def __init__(self, metadata: MetaData, models: Schema, schema: Schema, code: Code) -> None:
        self._metadata, self._models, self._schema, self._code = metadata, models, schema, code

    def changes(self) -> list[Change]:
        found: list[Change] = []
        for table in complete(self._metadata).sorted_tables:
            if table.name not in self._models:
                continue
            if table.name in self._schema:
                found += self._changes_of(table, self._models[table.name], self._schema[table.name])
            else:
                lines = (self._code.create_table(table), *self._indexes_of(table))
                found.append(Change(table.name, f"the table {table.name} is in the models only", plain=lines))
        for name in self._schema.keys() - self._models.keys():
            sentence = f"the table {name} is in the schema only"
            found.append(Change(name, sentence, "post", plain=(f"op.drop_table({quoted(name)})",)))
        return found

    def _indexes_of(self, table: Table) -> Iterator[str]:
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield self._code.create_index(index, table.name)

    def _changes_of(self, table: Table, model: TableSchema, found: TableSchema) -> Iterable[Change]:
        yield from self._columns(table, model, found)
        yield from self._indexes(table, model, found)
        yield from self._foreign_keys(table, model, found)
        yield from self._checks(table, model, found)
        if model.primary_key != found.primary_key:
            yield Change(
                table.name,
                f"the primary key of {table.name} is ({', '.join(model.primary_key)}) in the models and"
                f" ({', '.join(found.primary_key)}) in the schema",
                refusal="create a new table, and copy the rows",
            )

    def _columns(self, table: Table, model: TableSchema, found: TableSchema) -> Iterable[Change]:
        for name, column in model.columns.items():
            if name not in found.columns:
                yield self._new_column(table, name, column)
            else:
                yield from self._changed_column(table, name, column, found.columns[name])
        bound = {column for key in found.foreign_keys for column in key.columns}
        bound |= {column for each in found.indexes if each.is_constraint for column in column_names(each.definition)}
        for name, old in found.columns.items():
            if name in model.columns:
                continue
            where = f"{table.name}.{name}"
            if not old.nullable and not old.default:  # inserts of the new release do not name it
                yield Change(
                    table.name,
                    "",
                    alters=(_alter_null(table.name, name, "DROP", accepted="ban-drop-not-null"),),
                    recreates=True,
                )
            drop = f"op.drop_column({quoted(table.name)}, {quoted(name)})"
            sentence = f"the column {where} is in the schema only"
            if name in bound:
                yield Change(table.name, sentence, "post", alters=(drop,), recreates=True)
            else:
                yield Change(table.name, sentence, "post", plain=(drop,))

    def _new_column(self, table: Table, name: str, model: ColumnSchema) -> Change:
        column = table.columns[name]
        sentence = f"the column {table.name}.{name} is in the models only"
        if not model.nullable and not model.default:
            why = "existing rows have no value for it: give it a server_default, or nullable=True"
            return Change(table.name, sentence, refusal=why)
        line = f"op.add_column({quoted(table.name)}, {self._code.column(column, nullable=bool(column.nullable))})"
        if model.default and not _is_constant(model.default):
            if _default_of(column) not in _CLOCKS:
                why = "its default differs for each row: add it without, fill the rows, then set the default"
                return Change(table.name, sentence, refusal=why)
            line = _execute(
                f"ALTER TABLE {sql_name(table.name)} ADD COLUMN {specification(column)}",
                accepted="adding-field-with-default",
            )
            return Change(table.name, sentence, alters=(line,), recreates=True)  # SQLite adds no such column
        if column.foreign_keys:
            return Change(table.name, sentence, alters=(line,), recreates=True)  # as before
        return Change(table.name, sentence, plain=(line,), added=name)

    def _changed_column(self, table: Table, name: str, model: ColumnSchema, found: ColumnSchema) -> Iterable[Change]:
        where, column = f"{table.name}.{name}", table.columns[name]
        if model.type != found.type:
            sentence = f"the type of {where} is {model.type} in the models and {found.type} in the schema"
            yield Change(table.name, sentence, refusal=_REWRITE)
        if model.default != found.default:
            sentence = (
                f"the default of {where} is {model.default or 'none'} in the models and"
                f" {found.default or 'none'} in the schema"
            )
            alter = (
                f"op.alter_column({quoted(table.name)}, {quoted(name)}, server_default={self._code.default(column)})"
            )
            yield Change(table.name, sentence, alters=(alter,), recreates=True)
        if model.nullable and not found.nullable:
            sentence = f"{where} may be null in the models and not in the schema"
            yield Change(
                table.name,
                sentence,
                alters=(_alter_null(table.name, name, "DROP", accepted="ban-drop-not-null"),),
                recreates=True,
            )
        elif found.nullable and not model.nullable:
            check = f"{table.name}_{name}_not_null"
            yield Change(
                table.name,
                f"{where} may be null in the schema and not in the models",
                "post",
                online=_validated(table.name, check, f"CHECK ({sql_name(name)} IS NOT NULL)"),
                alters=(
                    _alter_null(table.name, name, "SET", accepted="adding-not-nullable-field"),  # the check is valid
                    _drop_constraint(table.name, check),
                ),
                recreates=True,
            )

    def _indexes(self, table: Table, model: TableSchema, found: TableSchema) -> Iterable[Change]:
        built = {str(index.name): index for index in table.indexes}
        uniques = {
            tuple(column.name for column in each.columns): each
            for each in table.constraints
            if isinstance(each, UniqueConstraint)
        }
        for each in model.indexes:
            if any(is_same(each, other) for other in found.indexes):
                continue
            if each.is_constraint:
                columns = column_names(each.definition)
                name = str(uniques[columns].name or f"{table.name}_{'_'.join(columns)}_key")
                create = self._code.index(name, table.name, map(quoted, columns), ["unique=True"], concurrently=True)
                sentence = f"the unique constraint on {table.name} ({', '.join(columns)}) is in the models only"
            else:
                name = each.name
                create = self._code.create_index(built[name], table.name, concurrently=True)
                state = "differs in the schema" if name in _index_names(found) else "is in the models only"
                sentence = f"the index {name} of {table.name} {state}"
            yield Change(table.name, sentence, indexes=(_drop_index(name, table.name), create))
        kept = {each.name for each in model.indexes}
        for each in found.indexes:
            if any(is_same(other, each) for other in model.indexes):
                continue
            if each.is_constraint:
                columns = column_names(each.definition)
                name = each.name or f"{table.name}_{'_'.join(columns)}_key"
                sentence = f"the unique constraint on {table.name} ({', '.join(columns)}) is in the schema only"
                alter = _drop_constraint(table.name, name)
                yield Change(table.name, sentence, "post", alters=(alter,), recreates=True)
            elif each.name not in kept:
                sentence = f"the index {each.name} of {table.name} is in the schema only"
                yield Change(table.name, sentence, "post", indexes=(_drop_index(each.name, table.name),))

    def _foreign_keys(self, table: Table, model: TableSchema, found: TableSchema) -> Iterable[Change]:
        declared = {
            tuple(each.column_keys): each for each in table.constraints if isinstance(each, ForeignKeyConstraint)
        }
        for key in model.foreign_keys.keys() - found.foreign_keys.keys():
            given = declared[key.columns].name
            name = str(given) if given else f"{table.name}_{'_'.join(key.columns)}_fkey"
            is_new = not set(key.columns) <= found.columns.keys()
            yield Change(
                table.name,
                f"the foreign key {_describe(table.name, key)} is in the models only",
                "pre" if is_new else "post",
                online=_validated(table.name, name, _reference(key)),
                recreates=not is_new,
            )
        for key in found.foreign_keys.keys() - model.foreign_keys.keys():
            if set(key.columns) <= model.columns.keys():
                name = found.foreign_keys[key] or f"{table.name}_{'_'.join(key.columns)}_fkey"
                sentence = f"the foreign key {_describe(table.name, key)} is in the schema only"
                alter = _drop_constraint(table.name, name)
                yield Change(table.name, sentence, "post", alters=(alter,), recreates=True)

    def _checks(self, table: Table, model: TableSchema, found: TableSchema) -> Iterable[Change]:
        declared = {str(each.name): each for each in table.constraints if isinstance(each, CheckConstraint)}
        for definition in model.checks.keys() - found.checks.keys():
            name = model.checks[definition]
            text = literal(declared[name].sqltext) if name in declared else ""
            yield Change(
                table.name,
                f"the check {name} of {table.name} is in the models only, or differs in the schema",
                "post",
                online=_validated(table.name, name, f"CHECK ({text})"),
                recreates=True,
                refusal="" if text else "give it a name",
            )
        for definition in found.checks.keys() - model.checks.keys():
            name = found.checks[definition]
            if name not in model.checks.values():
                sentence = f"the check {name} of {table.name} is in the schema only"
                alter = _drop_constraint(table.name, name)
                yield Change(table.name, sentence, "post", alters=(alter,), recreates=True)


def is_present(constraint: object, found: TableSchema) -> bool:
    """Whether a table has this constraint of the models, or will have it with its new column."""
    if isinstance(constraint, UniqueConstraint):
        columns = tuple(column.name for column in constraint.columns)
        return any(each.is_constraint and column_names(each.definition) == columns for each in found.indexes)
    if isinstance(constraint, ForeignKeyConstraint):
        columns = tuple(constraint.column_keys)
        is_new = not set(columns) <= found.columns.keys()
        return is_new or any(key.columns == columns for key in found.foreign_keys)
    return not isinstance(constraint, CheckConstraint) or str(constraint.name) in found.checks.values()


def is_same(one: IndexSchema, other: IndexSchema) -> bool:
    """The same index; or both are unique, of the same columns, and one belongs to a constraint."""
    if one.is_constraint or other.is_constraint:
        return one.unique and other.unique and one.definition == other.definition
    return (one.name, one.unique, one.definition) == (other.name, other.unique, other.definition)


def _index_names(table: TableSchema) -> set[str]:
    return {each.name for each in table.indexes}


def column_names(definition: str) -> tuple[str, ...]:
    return tuple(definition.partition("(")[2].rstrip(")").replace('"', "").split(", "))


def _is_constant(default: str) -> bool:
    return default.startswith("'") or ("(" not in default and not default.startswith("CURRENT_"))


def _default_of(column: Column[Any]) -> str:
    argument = getattr(column.server_default, "arg", "")
    return (argument if isinstance(argument, str) else literal(argument)).lower()


def _describe(table: str, key: ForeignKeySchema) -> str:
    actions = "".join(
        f" ON {event} {action}"
        for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update))
        if action != "NO ACTION"
    )
    return f"{table} ({', '.join(key.columns)}) to {key.table}{actions}"


def _reference(key: ForeignKeySchema) -> str:
    columns, targets = (", ".join(map(sql_name, names)) for names in (key.columns, filter(None, key.target_columns)))
    actions = _describe("", key).partition(f" to {key.table}")[2]
    return f"FOREIGN KEY ({columns}) REFERENCES {sql_name(key.table)}{f' ({targets})' if targets else ''}{actions}"


def _validated(table: str, name: str, constraint: str) -> tuple[str, ...]:
    change = f"ALTER TABLE {sql_name(table)}"
    return (
        _execute(
            f"{change} DROP CONSTRAINT IF EXISTS {sql_name(name)}", accepted="ban-drop-constraint"
        ),  # of a failed run
        _execute(f"{change} ADD CONSTRAINT {sql_name(name)} {constraint} NOT VALID"),
        "with op.get_context().autocommit_block():",
        f"    {_execute(f'{change} VALIDATE CONSTRAINT {sql_name(name)}')}",
    )


def _drop_constraint(table: str, name: str) -> str:
    return _execute(f"ALTER TABLE {sql_name(table)} DROP CONSTRAINT IF EXISTS {sql_name(name)}")


def _alter_null(table: str, column: str, what: str, *, accepted: str) -> str:
    change = f"ALTER TABLE {sql_name(table)} ALTER COLUMN {sql_name(column)} {what} NOT NULL"
    return _execute(change, accepted=accepted)


def _execute(statement: str, *, accepted: str = "") -> str:
    """``accepted``: the rule of the lint that is known not to matter."""
    text = f"-- squawk-ignore {accepted}\n{statement}" if accepted else statement
    return f"op.execute({quoted(text)})"


def _drop_index(name: str, table: str) -> str:
    return f"op.drop_index({quoted(name)}, {quoted(table)}, if_exists=True, postgresql_concurrently=True)"
