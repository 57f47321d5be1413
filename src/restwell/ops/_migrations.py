"""The migrations of each package: which are applied, and which are pending."""

from typing import Final

from msgspec import Struct

from restwell.database import Database, Migrations
from restwell.errors import ConfigurationError
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response


class MigrationRow(Struct, frozen=True):
    """``state``: ``applied``, ``pending``, or ``unknown`` to this release."""

    package: str
    revision: str
    phase: str
    state: str


class MigrationsController(Controller):
    path = f"{ROOT}/migrations"

    @page(query_budget={"migrations.exists": 2, "migrations.applied": 2})
    async def migrations(
        self, request: Request, layout: Layout, migrations: Migrations, database: Database
    ) -> Response[bytes]:
        rows = await read_migrations(migrations, database)
        return layout.page(request, "migrations.html", rows=rows, fault=await schema_fault(migrations, database))


async def read_migrations(migrations: Migrations, database: Database) -> list[MigrationRow]:
    """All migrations, those that are not applied first, then the newest of each package first."""
    applied = await migrations.applied(database.primary)
    rows = []
    for package, files in migrations.packages.items():
        phases = {file.revision: file.phase for file in files}
        done = applied.get(package, {})
        for revision in reversed([*phases, *(each for each in done if each not in phases)]):
            state = "pending" if revision not in done else "applied" if revision in phases else "unknown"
            rows.append(MigrationRow(package, revision, phases.get(revision) or done[revision], state))
    return sorted(rows, key=lambda row: row.state == "applied")


async def schema_fault(migrations: Migrations, database: Database) -> str:
    """Why this release does not run on the schema; empty if it does."""
    try:
        await migrations.check(database)
    except ConfigurationError as error:
        return str(error)
    return ""


PAGE: Final = OpsPage("Migrations", MigrationsController)
