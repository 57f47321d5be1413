"""Migrations: Alembic writes the SQL, our own drivers run it, in one transaction, one process at a time.

What runs is exactly what ``restwell migrate --sql`` prints, on the same SQLite and PostgreSQL drivers that serve. So a
migration is made of statements (``op.create_table``, ``op.execute``); it never reads rows back into Python.
"""

from pathlib import Path
from typing import Any, Final, TextIO, cast

from sqlalchemy import Column, MetaData, String, Table, column, func, select, table

from restwell.database.facade import Database, Executor
from restwell.database.query import DIALECTS, query
from restwell.errors import ConfigurationError

_versions: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_current: Final = query("migrations.current", select(_versions.c.version_num).limit(1), into=str)
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
        self._revisions = sorted(file.stem.partition("_")[0] for file in (folder / "versions").glob("[0-9]*_*.py"))
        if not self._revisions:
            raise ConfigurationError([f"no migrations in {folder / 'versions'}"])

    @property
    def head(self) -> str:
        """The newest revision."""
        return self._revisions[-1]

    async def current(self, database: Executor) -> str | None:
        """The revision the database is at, or None before the first migration."""
        if not await database.one(_exists):
            return None
        return await database.find(_current)

    async def upgrade(self, database: Database) -> list[str]:
        """Bring the schema to the newest revision; at once when it is there. Returns the statements run.

        Atomic, and safe when many processes start together: each waits for the one before and finds nothing left to do.
        """
        if await self.current(database) == self.head:
            return []
        async with database.migration() as tx:
            statements = self.statements(database.dialect, await self.current(tx))
            for statement in statements:
                await tx.run_script(statement)
        return statements

    async def check(self, database: Database) -> None:
        """Raise ConfigurationError unless the schema is the one this code was written for."""
        current = await self.current(database)
        if current == self.head:
            return
        if current is None or current in self._revisions:
            raise ConfigurationError(
                [f"the database is at revision {current or 'none'}, not {self.head}: run restwell migrate"]
            )
        raise ConfigurationError(
            [f"the database is at revision {current}, which this release does not know: deploy newer"]
        )

    def statements(self, dialect: str, current: str | None) -> list[str]:
        """The SQL from ``current`` to the newest revision, one statement an item."""
        if current == self.head:
            return []
        # Imported here alone: a serving process needs to know the newest revision, not Alembic, and starts a third faster.
        from alembic.operations import Operations  # noqa: PLC0415  # see above
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above
        from alembic.script import ScriptDirectory  # noqa: PLC0415  # see above

        scripts = ScriptDirectory(str(self._folder))
        output = _Statements()

        def steps(*_: Any) -> Any:
            return scripts._upgrade_revs(self.head, cast("str", current))  # noqa: SLF001  # as Alembic's own commands do

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


class _Statements:
    """Alembic writes each statement of a script with one call; this keeps them apart."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        if not statement.startswith("-- "):
            self.items.append(statement)

    def flush(self) -> None: ...
