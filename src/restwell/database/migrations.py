"""Migrations: Alembic writes the SQL, our own drivers run it, one process at a time.

What runs is exactly what ``restwell migrate --sql`` prints, on the same SQLite and PostgreSQL drivers that serve. So a
migration is made of statements (``op.create_table``, ``op.execute``); it never reads rows back into Python.

All that is pending runs in one transaction. What cannot, such as CREATE INDEX CONCURRENTLY, stands in
``with op.get_context().autocommit_block():``; what came before it is then committed.

A migration says when it runs at the end of its docstring's first line. ``(pre-deploy)``: before the new code, so the code of the
release before it goes on working; it adds. ``(post-deploy)``: after the old code is gone; it removes. The newest of these is the
schema's floor, and older code refuses to start on it.
"""

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TextIO, cast

import structlog
from sqlalchemy import Column, MetaData, String, Table, column, func, select, table

from restwell.database.facade import Database, DatabaseBusy, Executor
from restwell.database.query import DIALECTS, query
from restwell.errors import ConfigurationError

log = structlog.get_logger("restwell.migrations")

Phase = Literal["pre", "post"]

LOCK_ATTEMPTS: Final = 20
LOCK_PAUSE_SECONDS: Final = 1.0
"""A migration that does not get its table lock at once steps back, or everyone would queue up behind it."""

_MARK: Final = re.compile(r'^"""[^\n]*\((pre|post)-deploy\)')
_versions: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_current: Final = query("migrations.current", select(_versions.c.version_num).limit(1), into=str)
_floor: Final = query(
    "migrations.floor", select(column("revision", String)).select_from(table("schema_floor")).limit(1), into=str
)
_exists: Final = query(
    "migrations.exists",
    {
        # Not to_regclass(): it reads a session's own cache, which a transaction that waited for its turn may hold stale.
        "postgresql": select((func.count() > 0).label("found"))
        .select_from(table("pg_class", column("relname"), column("oid")))
        .where(column("relname") == "alembic_version", func.pg_table_is_visible(column("oid"))),
        "sqlite": select((func.count() > 0).label("found"))
        .select_from(table("sqlite_master", column("name")))
        .where(column("name") == "alembic_version"),
    },
    into=bool,
)


class Migrations:
    """The migrations in a folder's ``versions``: files named ``NNNN_what_it_does.py``, where NNNN is the revision."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = sorted((folder / "versions").glob("[0-9]*_*.py"))
        if not files:
            raise ConfigurationError([f"no migrations in {folder / 'versions'}"])
        self.phases: dict[str, Phase] = {file.stem.partition("_")[0]: _phase_of(file) for file in files}

    @property
    def head(self) -> str:
        """The newest revision."""
        return next(reversed(self.phases))

    async def current(self, database: Executor) -> str | None:
        """The revision the database is at, or None before the first migration."""
        if not await database.one(_exists):
            return None
        return await database.find(_current)

    def pending(self, current: str | None, *, before_deploy: bool = False) -> list[str]:
        """The revisions still to run; ``before_deploy``, only those up to the first post-deploy one."""
        revisions = [revision for revision in self.phases if current is None or revision > current]
        if before_deploy:
            post = next((n for n, revision in enumerate(revisions) if self.phases[revision] == "post"), len(revisions))
            return revisions[:post]
        return revisions

    async def upgrade(self, database: Database, *, before_deploy: bool = False) -> list[str]:
        """Run what is pending; at once when nothing is. Returns the statements run.

        Safe when many processes start together: each waits for the one before and finds nothing left to do. Raises
        DatabaseBusy when a table stays locked by others.
        """
        for _ in range(LOCK_ATTEMPTS - 1):
            try:
                return await self._upgrade(database, before_deploy=before_deploy)
            except DatabaseBusy as error:
                log.warning("migration_waits", cause=repr(error.__cause__))
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
        return await self._upgrade(database, before_deploy=before_deploy)

    async def _upgrade(self, database: Database, *, before_deploy: bool) -> list[str]:
        if not self.pending(await self.current(database), before_deploy=before_deploy):
            return []
        async with database.migration() as tx:
            current = await self.current(tx)
            statements = self.statements(database.dialect, current, self.pending(current, before_deploy=before_deploy))
            for statement in statements:
                await tx.run_script(statement)
        return statements

    async def check(self, database: Database) -> None:
        """Raise ConfigurationError unless this code can work with the schema.

        It can with its own; with one that lacks only post-deploy revisions; and with a newer release's, as long as that
        has only added to it.
        """
        current = await self.current(database)
        if current == self.head:
            return
        if current is None or current in self.phases:
            if current is None or self.pending(current, before_deploy=True):
                raise ConfigurationError(
                    [f"the database is at revision {current or 'none'}, not {self.head}: run restwell migrate"]
                )
        elif current < self.head or await database.find(_floor) not in {None, *self.phases}:
            raise ConfigurationError(
                [
                    f"the database is at revision {current}, which this release ({self.head}) cannot work with: deploy newer"
                ]
            )

    def statements(self, dialect: str, current: str | None, revisions: Sequence[str]) -> list[str]:
        """The SQL from ``current`` through these revisions, one statement an item."""
        if not revisions:
            return []
        items = ["CREATE TABLE IF NOT EXISTS schema_floor (revision VARCHAR(32) NOT NULL)"]
        for before, revision in pairwise([current, *revisions]):
            items += self._sql_of(dialect, before, cast("str", revision))
            if self.phases[cast("str", revision)] == "post":
                items += ["DELETE FROM schema_floor", f"INSERT INTO schema_floor VALUES ('{revision}')"]  # noqa: S608  # digits
        return items

    def _sql_of(self, dialect: str, current: str | None, revision: str) -> list[str]:
        # Imported here alone: a serving process needs to know the newest revision, not Alembic, and starts a third faster.
        from alembic.operations import Operations  # noqa: PLC0415  # see above
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above
        from alembic.script import ScriptDirectory  # noqa: PLC0415  # see above

        scripts = ScriptDirectory(str(self._folder))
        output = _Statements()

        def steps(*_: Any) -> Any:
            return scripts._upgrade_revs(revision, cast("str", current))  # noqa: SLF001  # as Alembic's own commands do

        context = MigrationContext.configure(
            dialect=DIALECTS[dialect],
            opts={
                "as_sql": True,
                "starting_rev": current,
                "output_buffer": cast("TextIO", output),
                "fn": steps,
                "script": scripts,
            },
        )
        with Operations.context(context):
            context.run_migrations()
        return output.items


def _phase_of(file: Path) -> Phase:
    found = _MARK.match(file.read_text())
    if found is None:
        raise ConfigurationError([f"{file.name}: end its docstring's first line with (pre-deploy) or (post-deploy)"])
    return "pre" if found[1] == "pre" else "post"


class _Statements:
    """Alembic writes each statement of a script with one call; this keeps them apart."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        if not all(line.startswith("-- ") for line in statement.splitlines()):
            self.items.append(statement)

    def flush(self) -> None: ...
