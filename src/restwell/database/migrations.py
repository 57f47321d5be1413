"""Migrations: Alembic writes the SQL, our own drivers run it, one process at a time.

What runs is exactly what ``restwell migrate --sql`` prints, on the same SQLite and PostgreSQL drivers that serve. So a
migration is made of statements (``op.create_table``, ``op.execute``); it never reads rows back into Python.

All that is pending runs in one transaction. What cannot, such as CREATE INDEX CONCURRENTLY, stands in
``with op.get_context().autocommit_block():``; what came before it is then committed.

The files form one line (``migration_files.py``). The table ``restwell_migrations`` holds the name of every migration that has run, and
is compared with that line: what ran must be its beginning. So a migration of another branch, and one that was merged behind those that
ran, is refused, and not taken for one that ran because its number is lower.

A migration says when it runs at the end of its docstring's first line. ``(pre-deploy)``: before the new code, so the code of the
release before it goes on working; it adds. ``(post-deploy)``: after the old code is gone; it removes. Older code refuses to start
where one of these has run that it does not know.
"""

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final, TextIO, cast

import structlog
from msgspec import Struct
from sqlalchemy import column, func, select, table

from restwell.database.facade import Database, DatabaseBusy, Executor, MigrationInProgress, Transaction
from restwell.database.migration_files import MigrationFile, Phase, next_number, read_migrations
from restwell.database.query import DIALECTS, query
from restwell.errors import ConfigurationError, ServiceUnavailable

log = structlog.get_logger("restwell.migrations")

LOCK_ATTEMPTS: Final = 20
LOCK_PAUSE_SECONDS: Final = 1.0
"""A migration that does not get its table lock at once steps back, or everyone would queue up behind it."""
MAX_SHOWN: Final = 200
"""So many characters of a statement stand in an error."""

_TABLE: Final = "restwell_migrations"
_CREATE: Final = f"CREATE TABLE IF NOT EXISTS {_TABLE} (revision TEXT NOT NULL PRIMARY KEY, phase TEXT NOT NULL)"


class _Applied(Struct, frozen=True):
    revision: str
    phase: Phase


_applied: Final = query(
    "migrations.applied",
    select(column("revision"), column("phase")).select_from(table(_TABLE)).order_by(column("revision")).limit(100_000),
    into=_Applied,
)
_exists: Final = query(
    "migrations.exists",
    {
        # Not to_regclass(): it reads a session's own cache, which a transaction that waited for its turn may hold stale.
        "postgresql": select((func.count() > 0).label("found"))
        .select_from(table("pg_class", column("relname"), column("oid")))
        .where(column("relname") == _TABLE, func.pg_table_is_visible(column("oid"))),
        "sqlite": select((func.count() > 0).label("found"))
        .select_from(table("sqlite_master", column("name")))
        .where(column("name") == _TABLE),
    },
    into=bool,
)


class _Locked(Exception):
    """A statement did not get its lock in time."""


class Migrations:
    """The migrations in a folder's ``versions``: files named ``NNNN_what_it_does.py``, which is the revision.

    Raises ConfigurationError, with a line for each fault, for files that are not one line.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {file.revision: file for file in read_migrations(folder / "versions")}
        self.phases: dict[str, Phase] = {revision: file.phase for revision, file in self._files.items()}

    @property
    def head(self) -> str:
        """The newest revision."""
        return next(reversed(self.phases))

    async def applied(self, database: Executor) -> dict[str, Phase]:
        """What has run on this database, in the order of the numbers. Raises ConfigurationError where that cannot be read."""
        try:
            rows = await database.all(_applied) if await database.one(_exists) else []
        except ServiceUnavailable:
            raise
        except Exception as error:
            raise ConfigurationError([f"the table {_TABLE} cannot be read: {_text_of(error)}"]) from error
        rows.sort(key=lambda row: int(row.revision.partition("_")[0]))
        return {row.revision: row.phase for row in rows}

    async def current(self, database: Executor) -> str | None:
        """The newest revision that has run, or None before the first migration."""
        return next(reversed(await self.applied(database)), None)

    def pending(self, applied: Mapping[str, Phase], *, before_deploy: bool = False) -> list[str]:
        """The revisions still to run; ``before_deploy``, only those up to the first post-deploy one.

        Raises ConfigurationError where what ran is not the beginning of the line.
        """
        revisions = [revision for revision in self.phases if revision not in applied]
        unknown = [revision for revision in applied if revision not in self.phases]
        if revisions and unknown:
            raise ConfigurationError(
                [
                    (
                        f"this database has run {', '.join(unknown)}, which is not here, but not {', '.join(revisions)}:"
                        f" bring back {unknown[0]}.py (of another branch or a newer release, or renamed since), or use another database"
                    )
                ]
            )
        ran = [revision for revision in self.phases if revision in applied]
        order = list(self.phases)
        late = [revision for revision in revisions if ran and order.index(revision) < order.index(ran[-1])]
        if late:
            number = next_number(file.number for file in self._files.values())
            raise ConfigurationError(
                [
                    f"{revision} stands before {ran[-1]}, which has run on this database without it:"
                    f" make it the last, {number}_{revision.partition('_')[2]}.py"
                    for revision in late
                ]
            )
        if before_deploy:
            post = next((n for n, revision in enumerate(revisions) if self.phases[revision] == "post"), len(revisions))
            return revisions[:post]
        return revisions

    async def upgrade(self, database: Database, *, before_deploy: bool = False) -> list[str]:
        """Run what is pending; at once when nothing is. Returns the statements run.

        Safe when many processes start together: each waits for the one before and finds nothing left to do. Raises
        ConfigurationError with one line for a statement that fails, and for a lock that others keep.
        """
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                return await self._upgrade(database, before_deploy=before_deploy)
            except MigrationInProgress as error:
                raise ConfigurationError(
                    ["another process migrates this database and has not ended: run restwell migrate again when it has"]
                ) from error
            except (_Locked, DatabaseBusy) as error:
                what = str(error) if isinstance(error, _Locked) else "the database"
                if attempt == LOCK_ATTEMPTS:
                    raise ConfigurationError(
                        [
                            (
                                f"others kept a lock in all of {LOCK_ATTEMPTS} attempts, on {what}:"
                                " find the transaction that holds it, end it, and run restwell migrate again"
                            )
                        ]
                    ) from error
                log.warning("migration_waiting", on=what, attempt=attempt, cause=repr(error.__cause__))
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
        raise AssertionError  # pragma: no cover  # the last attempt returns or raises

    async def _upgrade(self, database: Database, *, before_deploy: bool) -> list[str]:
        if not self.pending(await self.applied(database), before_deploy=before_deploy):
            return []
        ran = []
        async with database.migration() as tx:
            for revision in self.pending(await self.applied(tx), before_deploy=before_deploy):
                for statement in self.statements(database.dialect, [revision]):
                    await _run(tx, revision, statement)
                    ran.append(statement)
        return ran

    async def check(self, database: Database) -> None:
        """Raise ConfigurationError unless this code can work with the schema.

        It can with its own; with one that lacks only post-deploy revisions; and with a newer release's, as long as that
        has only added to it.
        """
        applied = await self.applied(database)
        newest = next(reversed(applied), None)
        if newest is None or self.pending(applied, before_deploy=True):
            raise ConfigurationError(
                [f"the database is at revision {newest or 'none'}, not {self.head}: run restwell migrate"]
            )
        if any(phase == "post" for revision, phase in applied.items() if revision not in self.phases):
            raise ConfigurationError(
                [
                    f"the database is at revision {newest}, which this release ({self.head}) cannot work with: deploy newer"
                ]
            )

    def statements(self, dialect: str, revisions: Sequence[str]) -> list[str]:
        """The SQL of these revisions, one statement an item. Raises ConfigurationError for one that cannot be written."""
        items: list[str] = []
        for revision in revisions:
            file = self._files[revision]
            if revision == next(iter(self._files)):
                items.append(_CREATE)
            items += _sql_of(dialect, file)
            items.append(f"INSERT INTO {_TABLE} VALUES ('{revision}', '{file.phase}')")  # noqa: S608  # letters and digits
        return items


async def _run(tx: Transaction, revision: str, statement: str) -> None:
    shown = " ".join(statement.split())[:MAX_SHOWN]
    try:
        await tx.run_script(statement)
    except DatabaseBusy as error:
        raise _Locked(f"{revision}: {shown}") from error.__cause__
    except Exception as error:
        cause = error.__cause__ if isinstance(error, ServiceUnavailable) and error.__cause__ else error
        cure = ""
        if getattr(cause, "sqlstate", None) == "42501":  # insufficient_privilege
            cure = "; grant that to the role of DATABASE_URL, or migrate with the role that owns the schema"
        raise ConfigurationError([f"{revision}: {_text_of(cause)}{cure}: {shown}"]) from error


def _sql_of(dialect: str, file: MigrationFile) -> list[str]:
    # Imported here alone: a serving process needs to know the revisions, not Alembic, and starts a third faster.
    from alembic.operations import Operations  # noqa: PLC0415  # see above
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above

    output = _Statements()
    options = {"as_sql": True, "output_buffer": cast("TextIO", output)}
    context = MigrationContext.configure(dialect=DIALECTS[dialect], opts=options)
    try:
        with Operations.context(context):
            _module_of(file.path).upgrade()
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file.path)
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise ConfigurationError([f"{file.path.name}{where}: {_text_of(error)}"]) from error
    return output.items


def _module_of(path: Path) -> ModuleType:
    module = ModuleType(f"restwell_migration_{path.stem}")
    module.__file__ = str(path)
    SourceFileLoader(module.__name__, str(path)).exec_module(module)
    return module


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _Statements:
    """Alembic writes each statement of a script with one call; this keeps them apart."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        if not all(line.startswith("-- ") for line in statement.splitlines()):
            self.items.append(statement)

    def flush(self) -> None: ...
