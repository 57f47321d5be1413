"""``restwell migrate``: run migrations, check them, and write them from the models."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from restwell._cli.loading import create_app_to_inspect, load, with_database
from restwell._cli.tables import print_table
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell.database import Database, Migrations

EXIT_FINDINGS: Final = 1


def migrate(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL statements without running them.")] = False,
    before_deploy: Annotated[
        bool,
        typer.Option("--before-deploy", help="Stop at the first post-deploy revision, while old code still serves."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Find what differs between models and schema, and statements that block or break a live database;"
            " exit code 1 if any.",
        ),
    ] = False,
    new: Annotated[
        str | None, typer.Option("--new", help="Write a migration with what the models have changed, and this title.")
    ] = None,
    adopt: Annotated[
        Path | None, typer.Option("--adopt", help="Write the revisions of this folder of Alembic as migrations.")
    ] = None,
) -> None:
    """Migrate the database schema to the newest revision."""
    if new is not None:
        write_migrations(new)
        return
    if adopt is not None:
        adopt_migrations(adopt)
        return
    project, settings = load()
    migrations = create_app_to_inspect(project, settings).migrations
    url = settings.database.url.get_secret_value()
    if check:
        _check(migrations, url)
        return

    async def upgrade(database: Database) -> tuple[str | None, str | None, list[str]]:
        current = await migrations.current(database)
        if sql:
            pending = migrations.pending(await migrations.applied(database), before_deploy=before_deploy)
            adopted = await migrations.adopted(database, pending)
            return current, None, migrations.statements(database.dialect, pending, adopted)
        ran = await migrations.upgrade(database, before_deploy=before_deploy)
        return current, await migrations.current(database), ran

    before, after, statements = with_database(settings, upgrade)
    if sql:
        print("\n\n".join(f"{statement};" for statement in statements))
    else:
        print(_migrated(before, after, len(statements)))


def _migrated(before: str | None, after: str | None, statements: int) -> str:
    """A line with the packages whose revision changed: an application has several."""
    if not statements:
        return "nothing to migrate"
    old, new = ((revisions or "").split(", ") for revisions in (before, after))
    left = ", ".join(each for each in old if each not in new)
    reached = ", ".join(each for each in new if each not in old)
    return f"{left or 'empty'} -> {reached} ({statements} statements)"


def write_migrations(title: str, *, may_be_empty: bool = False) -> None:
    """Write what the models have changed. Without a change write nothing, or with ``may_be_empty`` an empty one."""
    from restwell.database._migration_writer import compare, file_name

    migrations, folder, url = _writable()
    differences = asyncio.run(compare(migrations, url))
    written = [file.path for file in migrations.own_files if file.revision == f"{file.number}_{file_name(title)}"]
    if not differences.sentences and (written or not may_be_empty):
        print(
            f"{written[0].name} exists"
            if written and may_be_empty
            else "the schema has what the models declare; no migration is written"
        )
        return
    for sentence in differences.sentences:
        print(sentence)
    _print_paths(differences.write(folder, [file.number for file in migrations.own_files], title))


def adopt_migrations(alembic: Path) -> None:
    """Write the revisions of a folder of Alembic into the empty folder of the application's migrations."""
    from restwell.database._alembic_folder import convert

    migrations, folder, _ = _writable()
    if migrations.own_files:
        raise ConfigurationError([f"{folder} has migrations already: name a new folder, kit.app(migrations=...)"])
    _print_paths(convert(alembic, folder))
    print("restwell migrate records on each database which of them Alembic has run")


def _writable() -> tuple[Migrations, Path, str]:
    """The migrations of the application, which may have none yet, their folder, and the URL of its database."""
    from restwell.database._migration_files import MAY_BE_EMPTY

    MAY_BE_EMPTY.set(True)
    project, settings = load()
    migrations = create_app_to_inspect(project, settings).migrations
    if migrations.folder is None:
        raise ConfigurationError(["the application has no migrations: name their folder, kit.app(migrations=...)"])
    return migrations, migrations.folder, settings.database.url.get_secret_value()


def _print_paths(paths: Iterable[Path]) -> None:
    here = Path.cwd()
    for path in paths:
        print(path.relative_to(here) if path.is_relative_to(here) else path)


def _check(migrations: Migrations, url: str) -> None:
    from restwell.database._migration_lint import lint
    from restwell.database._migration_writer import compare

    drift = asyncio.run(compare(migrations, url)).sentences if migrations.metadata is not None else []
    findings = lint(migrations)
    table = Table("revision", "rule", "statement", "what to do", box=None)
    for finding in findings:
        table.add_row(finding.revision, finding.rule, finding.statement, finding.advice)
    if findings:
        print_table(table)
    for sentence in drift:
        print(f"{sentence}: restwell migrate --new writes a migration, or correct the models")
    if migrations.metadata is None and migrations.folder is not None:
        print("models and schema were not compared: name the tables with kit.app(..., metadata=...)")
    print(f"{len(migrations.files)} migrations, {len(findings) + len(drift)} findings")
    if findings or drift:
        raise SystemExit(EXIT_FINDINGS)
