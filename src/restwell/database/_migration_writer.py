"""Finds what differs between the models and the migrated schema, and writes the migrations that remove it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import MetaData, Table, UniqueConstraint

from restwell.database import Migrations, open_database
from restwell.database._migration_files import Phase, next_number
from restwell.database._schema import Schema, created_tables, read_models, read_schema
from restwell.database._schema_changes import Change, Comparison, column_names, is_present, is_same
from restwell.database._schema_code import Code, quoted, sql_name
from restwell.errors import ConfigurationError

_ON_SQLITE: Final = 'if op.get_context().dialect.name == "sqlite":'
_EMPTY: Final = '"""Add statements, such as op.execute(...) of alembic."""'
_ON_POSTGRES: Final = 'if op.get_context().dialect.name == "postgresql":'


class Differences:
    """What differs between the models and a schema. ``sentences`` describe it."""

    def __init__(self, metadata: MetaData, models: Schema, schema: Schema) -> None:
        self._metadata, self._models, self._schema = metadata, models, schema
        self._code = Code()
        self._changes = Comparison(metadata, models, schema, self._code).changes()

    @property
    def sentences(self) -> list[str]:
        return [change.sentence for change in self._changes if change.sentence]

    def write(self, folder: Path, numbers: Iterable[str], text: str) -> list[Path]:
        """Write the migrations into ``folder/versions``: what adds, what is built online, and what removes.

        Raises ConfigurationError, with a line for each, if there are changes that a deploy does not survive.
        """
        refused = [f"{change.sentence}: {change.refusal}" for change in self._changes if change.refusal]
        if refused:
            raise ConfigurationError(refused)
        name, words = file_name(text), plain_words(text)
        number = max(numbers, key=int, default=None)
        pre = [change for change in self._changes if change.phase == "pre"]
        post = [change for change in self._changes if change.phase == "post"]
        files: list[tuple[str, str, Phase, list[str]]] = [
            ("", words, "pre", [*_plain(pre), *self._altered(pre, "pre")]),
            ("_online", f"{words}: indexes and constraints", "pre", _online(pre)),
            ("_cleanup", f"{words}: clean-up", "post", [*_online(post), *_plain(post), *self._altered(post, "post")]),
        ]
        wanted = [file for file in files if file[-1]] or [("", words, "pre", [_EMPTY])]
        written = []
        for suffix, title, phase, lines in wanted:
            before, number = number, next_number([number] if number else [])
            path = folder / "versions" / f"{number}_{name}{suffix if len(wanted) > 1 else ''}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._file(title, phase, number, before, lines), encoding="utf-8")
            written.append(path)
        return written

    def _file(self, title: str, phase: Phase, number: str, before: str | None, lines: Sequence[str]) -> str:
        body = "\n".join(lines)
        imports = []
        for module, names in sorted(self._code.names.items()):
            used = sorted(name for name in names if re.search(rf"\b{name}\b", re.sub(r'"(\\.|[^"\\])*"', "", body)))
            if used:
                imports.append(f"from {module} import {', '.join(used)}\n")
        imports = ["from alembic import op\n", *imports] if lines != [_EMPTY] else []
        head = f'"""{title[0].upper()}{title[1:]} ({phase}-deploy)."""\n\n{"".join(imports)}'
        down = quoted(before) if before else "None"
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        head = head.rstrip() + "\n"
        return f"{head}\nrevision = {quoted(number)}\ndown_revision = {down}\n\n\ndef upgrade() -> None:\n{indented}"

    def _altered(self, changes: Sequence[Change], phase: Phase) -> list[str]:
        """What SQLite cannot do to a table: there the table is created again, with its rows."""
        tables = dict.fromkeys(change.table for change in changes if change.recreates)
        alters = [line for change in changes for line in change.alters]
        if not tables:
            return [_ON_POSTGRES, *_indented(alters)] if alters else []
        again = [line for name in tables for line in self._recreate(self._metadata.tables[name], phase, changes)]
        return [_ON_SQLITE, *_indented(again), *(["else:", *_indented(alters)] if alters else [])]

    def _recreate(self, table: Table, phase: Phase, changes: Sequence[Change]) -> list[str]:
        found, models = self._schema[table.name], self._models[table.name]
        is_before = phase == "pre"
        constraints = [
            each
            for each in table.constraints
            if is_present(each, found) or not (is_before or isinstance(each, UniqueConstraint))
        ]
        later = [
            name for name, each in models.columns.items() if name in found.columns and found.columns[name].nullable
        ]
        retained = [name for name in found.columns if name not in models.columns] if is_before else []
        added = {change.added for change in changes if change.table == table.name}
        copied = [name for name in models.columns if not is_before or name in found.columns or name in added]
        new, names = f"{table.name}_new", ", ".join(map(sql_name, [*copied, *retained]))
        copy = f"INSERT INTO {sql_name(new)} ({names}) SELECT {names} FROM {sql_name(table.name)}"  # noqa: S608  # quoted
        lines = [
            self._code.create_table(table, new, nullable=later if is_before else (), constraints=constraints),
            *(f"op.execute({quoted(f'ALTER TABLE {sql_name(new)} ADD COLUMN {sql_name(name)}')})" for name in retained),
            f"op.execute({quoted(copy)})",
            f"op.drop_table({quoted(table.name)})",
            f"op.rename_table({quoted(new)}, {quoted(table.name)})",
        ]
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            wanted = next(each for each in models.indexes if each.name == index.name)
            if not is_before or any(is_same(wanted, each) for each in found.indexes):
                lines.append(self._code.create_index(index, table.name))
        for each in models.indexes:
            columns = column_names(each.definition)
            has = any(is_same(each, other) and other.is_constraint for other in found.indexes)
            if each.is_constraint and not has and (not is_before or any(is_same(each, one) for one in found.indexes)):
                name = next(
                    (one.name for one in found.indexes if is_same(each, one)),
                    each.name or f"{table.name}_{'_'.join(columns)}_key",
                )
                lines.append(self._code.index(name, table.name, map(quoted, columns), ["unique=True"]))
        return lines


def file_name(text: str) -> str:
    """The name of a migration without its number. Raises ConfigurationError for a text without words."""
    name = re.sub(r"\W+", "_", plain_words(text).lower(), flags=re.ASCII).strip("_")
    if not name:
        raise ConfigurationError(['the title says what the migration does, such as "reviews of products"'])
    return name


def plain_words(text: str) -> str:
    return " ".join(text.split()).rstrip(".").replace('"', "'").replace("\\", "/")


async def compare(migrations: Migrations, url: str) -> Differences:
    """Compare the models with the schema after all migrations.

    SQLite migrates a new database for it. PostgreSQL compares with the database of ``url``, which must be migrated.
    Tables with ``info={"compare": False}`` are left out.
    """
    metadata = migrations.metadata
    if metadata is None:
        raise ConfigurationError(["the models are unknown: name them with kit.app(..., metadata=...)"])
    dialect = "sqlite" if url.startswith("sqlite:") else "postgresql"
    by_hand = {table.name for table in metadata.tables.values() if not table.info.get("compare", True)}
    own = created_tables(migrations.statements(dialect, migrations.own_files)) | set(metadata.tables)
    if dialect == "sqlite":
        with TemporaryDirectory(prefix="restwell-schema-") as folder:
            async with open_database(f"sqlite:///{folder}/migrated.db") as database:
                await migrations.upgrade(database)
                schema = await read_schema(database)
            async with open_database(f"sqlite:///{folder}/models.db") as database:
                models = await read_models(database, metadata)
    else:
        async with open_database(url, 1) as database:
            missing = migrations.pending(await migrations.applied(database))
            if pending := [file for file in missing if file in migrations.own_files]:
                raise ConfigurationError(
                    [
                        (
                            f"the database lacks {', '.join(map(str, pending))}, and the models are compared with a"
                            " migrated database: run restwell migrate"
                        )
                    ]
                )
            schema = await read_schema(database)
            models = await read_models(database, metadata)
    models, schema = (
        {name: table for name, table in each.items() if name in own - by_hand} for each in (models, schema)
    )
    return Differences(metadata, models, schema)


def _plain(changes: Iterable[Change]) -> list[str]:
    return [line for change in changes for line in change.plain]


def _online(changes: Sequence[Change]) -> list[str]:
    indexes = [line for change in changes for line in change.indexes]
    constraints = [line for change in changes for line in change.online]
    block = ["with op.get_context().autocommit_block():", *_indented(indexes)] if indexes else []
    return [*block, *([_ON_POSTGRES, *_indented(constraints)] if constraints else [])]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for text in lines for line in text.splitlines()]
