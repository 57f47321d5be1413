"""Schema migrations: Alembic generates the SQL, the kit's drivers run it, one process at a time.

``restwell migrate --sql`` prints exactly the SQL that runs. So a migration consists of statements (``op.create_table``,
``op.execute``) and cannot read rows into Python.

All pending migrations run in one transaction. Statements that cannot, such as CREATE INDEX CONCURRENTLY, go into ``with
op.get_context().autocommit_block():``, which commits the statements before it.

There is a history for each package: the kit's, whose files are part of the kit, those of features that own tables, and
the application's. All run together, in this order. The files of each form a linear history (``_migration_files.py``).
The table ``restwell_migrations`` stores the name of each applied migration. The applied migrations must be a prefix of
the history: a migration of another branch, or one that was merged with a lower number than an applied one, is an error
and is not skipped.

The first line of a migration's docstring ends with its phase. ``(pre-deploy)``: it runs before the new code and only
adds, so that the previous release keeps working. ``(post-deploy)``: it runs after the old code has stopped, and
removes. Code does not start on a database with a post-deploy migration that it does not know.
"""

import asyncio
import re
import traceback
from collections.abc import Collection, Iterable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Final, TextIO, cast

import structlog
from msgspec import Struct
from sqlalchemy import MetaData, column, func, select, table

from restwell.database._facade import Database, DatabaseBusy, MigrationInProgress
from restwell.database._migration_files import APPLICATION, MigrationFile, Phase
from restwell.database._migration_history import History
from restwell.database._query import DIALECTS, param, query
from restwell.database._transaction import Executor, Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable

log = structlog.get_logger("restwell.migrations")

LOCK_ATTEMPTS: Final = 20
LOCK_PAUSE_SECONDS: Final = 1.0
"""The pause after a lock timeout. A migration must not wait for a table lock: all other statements would queue behind
it."""
MAX_EXCERPT_CHARS: Final = 200
"""Characters of a statement in an error message."""

KIT: Final = Path(__file__).parents[1] / "_migrations"
KIT_PACKAGES: Final[Mapping[str, Path]] = MappingProxyType({"restwell": KIT})

_HISTORY_TABLE: Final = "restwell_migrations"
_ALEMBIC_TABLE: Final = "alembic_version"
_CREATE_HISTORY: Final = (
    f"CREATE TABLE IF NOT EXISTS {_HISTORY_TABLE} (package TEXT NOT NULL, revision TEXT NOT NULL, phase TEXT NOT NULL,"
    " PRIMARY KEY (package, revision))"
)
_UNSUPPORTED: Final = re.compile(r"ALTER TABLE \S+ (ALTER|ADD CONSTRAINT|DROP CONSTRAINT)")


class _Applied(Struct, frozen=True):
    package: str
    revision: str
    phase: Phase


Applied = dict[str, dict[str, Phase]]
"""The applied revisions of each package, in order, with their phases."""

_applied: Final = query(
    "migrations.applied",
    select(column("package"), column("revision"), column("phase"))
    .select_from(table(_HISTORY_TABLE))
    .order_by(column("revision"))
    .limit(100_000),
    into=_Applied,
)
_exists: Final = query(
    "migrations.exists",
    {
        # Not to_regclass(): it uses the cache of the session, which may be stale after the wait for the lock.
        "postgresql": select((func.count() > 0).label("found"))
        .select_from(table("pg_class", column("relname"), column("oid")))
        .where(column("relname") == param("name"), func.pg_table_is_visible(column("oid"))),
        "sqlite": select((func.count() > 0).label("found"))
        .select_from(table("sqlite_master", column("name")))
        .where(column("name") == param("name")),
    },
    into=bool,
)
_alembic_versions: Final = query(
    "migrations.alembic_versions",
    select(column("version_num")).select_from(table(_ALEMBIC_TABLE)).limit(100),
    into=str,
)


class _LockTimeout(Exception):
    """A statement hit the lock timeout."""


class Migrations:
    """The migrations of the kit, of features, and of the application, which are in ``folder/versions``.

    A file is named ``NNNN_what_it_does.py``, and this name is the revision. ``packages`` are the folders of the
    packages that own tables. Their migrations run first, in this order. ``metadata``: the tables of the application.

    Raises ConfigurationError, with a line for each error, for files that do not form a linear history.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        packages: Mapping[str, Path] = KIT_PACKAGES,
        metadata: MetaData | None = None,
    ) -> None:
        self.folder, self.metadata = folder, metadata
        folders = {**packages, APPLICATION: folder}
        self._histories = [History(package, owned) for package, owned in folders.items()]
        self._first = next((file for history in self._histories for file in history.files.values()), None)

    @property
    def files(self) -> list[MigrationFile]:
        """Every migration except the kit's own."""
        others = (history for history in self._histories if history.package not in KIT_PACKAGES)
        return [file for history in others for file in history.files.values()]

    @property
    def own_files(self) -> list[MigrationFile]:
        """The migrations of the application."""
        return [file for file in self.files if file.package == APPLICATION]

    @property
    def adopted_files(self) -> list[MigrationFile]:
        """The migrations of the application that were a folder of Alembic."""
        files = self.own_files
        count = max((number for number, file in enumerate(files, 1) if file.alembic_revision), default=0)
        return files[:count]

    @property
    def packages(self) -> dict[str, list[MigrationFile]]:
        """The migrations of each package, the kit's own too, in their order."""
        return {history.package: list(history.files.values()) for history in self._histories}

    @property
    def head(self) -> str:
        """The newest revision of each package, as text."""
        return _joined(history.head for history in self._histories)

    async def applied(self, database: Executor) -> Applied:
        """The applied migrations. Raises ConfigurationError if the table cannot be read."""
        try:
            rows = await database.all(_applied) if await database.one(_exists, name=_HISTORY_TABLE) else []
        except ServiceUnavailable:
            raise
        except Exception as error:
            raise ConfigurationError(
                [f"the table {_HISTORY_TABLE} cannot be read: {_describe_error(error)}"]
            ) from error
        rows.sort(key=lambda row: int(row.revision.partition("_")[0]))
        applied: Applied = {history.package: {} for history in self._histories}
        for row in rows:
            if row.package in applied:  # otherwise of a package that this release does not use
                applied[row.package][row.revision] = row.phase
        return applied

    async def current(self, database: Executor) -> str | None:
        """The newest applied revision of each package, as text, or None before the first migration."""
        applied = await self.applied(database)
        return _joined(history.newest(applied[history.package]) for history in self._histories) or None

    def pending(self, applied: Applied, *, before_deploy: bool = False) -> list[MigrationFile]:
        """The migrations to run; with ``before_deploy``, only those before the first post-deploy one of a package.

        Raises ConfigurationError if the applied revisions are not a prefix of the history.
        """
        return [
            file
            for history in self._histories
            for file in history.pending(applied[history.package], before_deploy=before_deploy)
        ]

    async def adopted(self, database: Executor, pending: Collection[MigrationFile]) -> list[MigrationFile]:
        """The pending migrations that Alembic has run on the database: they are recorded as applied, and do not run.

        Raises ConfigurationError for a database at a revision of Alembic that was not adopted.
        """
        files = self.adopted_files
        if not {*files} & {*pending} or not await database.one(_exists, name=_ALEMBIC_TABLE):
            return []
        known = [file.alembic_revision for file in files]
        versions = await database.all(_alembic_versions)
        if unknown := sorted({*versions} - {*known}):
            raise ConfigurationError(
                [
                    (
                        f"the database is at revision {', '.join(unknown)} of Alembic, which was not adopted:"
                        f" first run alembic upgrade {known[-1]}"
                    )
                ]
            )
        return files[: max(map(known.index, versions), default=-1) + 1]

    async def upgrade(self, database: Database, *, before_deploy: bool = False) -> list[str]:
        """Run the pending migrations. Returns the executed statements.

        Several processes may call it at the same time: one migrates, the others wait for it. Raises ConfigurationError
        for a failed statement, and for a lock that is not acquired within LOCK_ATTEMPTS.
        """
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                return await self._upgrade(database, before_deploy=before_deploy)
            except MigrationInProgress as error:
                raise ConfigurationError(
                    ["another process is migrating this database: run restwell migrate again after it has finished"]
                ) from error
            except (_LockTimeout, DatabaseBusy) as error:
                what = str(error) if isinstance(error, _LockTimeout) else "the database"
                if attempt == LOCK_ATTEMPTS:
                    raise ConfigurationError(
                        [
                            (
                                f"lock timeout in {LOCK_ATTEMPTS} attempts, on {what}:"
                                " end the transaction that holds the lock, and run restwell migrate again"
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
            pending = self.pending(await self.applied(tx), before_deploy=before_deploy)
            adopted = await self.adopted(tx, pending)
            for file in pending:
                for statement in self.statements(database.dialect, [file], adopted):
                    await _run(tx, file, statement)
                    ran.append(statement)
        return ran

    async def check(self, database: Database) -> None:
        """Raises ConfigurationError unless this release can run on the schema.

        Compatible are its own schema, one that lacks only post-deploy revisions, and a newer one with only pre-deploy
        revisions more.
        """
        applied = await self.applied(database)
        behind = [history for history in self._histories if history.is_behind(applied[history.package])]
        if behind:
            newest = _joined(history.newest(applied[history.package]) for history in behind)
            heads = _joined(history.head for history in behind)
            raise ConfigurationError(
                [f"the database is at revision {newest or 'none'}, not {heads}: run restwell migrate"]
            )
        for history in self._histories:
            if history.is_ahead(applied[history.package]):
                newest = history.newest(applied[history.package])
                release = f"this release ({history.head or 'no migrations'})"
                raise ConfigurationError(
                    [
                        (
                            f"the database is at revision {newest}, which is incompatible with {release}:"
                            " deploy a newer release"
                        )
                    ]
                )

    def statements(
        self, dialect: str, files: Iterable[MigrationFile], adopted: Collection[MigrationFile] = ()
    ) -> list[str]:
        """The SQL statements of these migrations; those that are ``adopted`` are only recorded.

        Raises ConfigurationError if one fails to generate its SQL.
        """
        items: list[str] = []
        for file in files:
            if file == self._first:
                items.append(_CREATE_HISTORY)
            if file not in adopted:
                items += _generate_sql(dialect, file)
            # Packages and revisions consist of letters, digits and underscores.
            items.append(
                f"INSERT INTO {_HISTORY_TABLE} VALUES ('{file.package}', '{file.revision}', '{file.phase}')"  # noqa: S608
            )
        return items


def _joined(names: Iterable[str]) -> str:
    return ", ".join(filter(None, names))


async def _run(tx: Transaction, file: MigrationFile, statement: str) -> None:
    excerpt = " ".join(statement.split())[:MAX_EXCERPT_CHARS]
    try:
        await tx.run_script(statement)
    except DatabaseBusy as error:
        raise _LockTimeout(f"{file}: {excerpt}") from error.__cause__
    except Exception as error:
        cause = error.__cause__ if isinstance(error, ServiceUnavailable) and error.__cause__ else error
        hint = ""
        if tx.dialect == "sqlite" and _UNSUPPORTED.match(statement):
            hint = "; SQLite cannot change a column or a constraint: add a new column, or create the table again"
        if getattr(cause, "sqlstate", None) == "42501":  # insufficient_privilege
            hint = "; grant the privilege to the role of DATABASE_URL, or migrate with the owner of the schema"
        raise ConfigurationError([f"{file}: {_describe_error(cause)}{hint}: {excerpt}"]) from error


def _generate_sql(dialect: str, file: MigrationFile) -> list[str]:
    # Imported lazily: a server reads only the revisions, and starts a third faster without Alembic.
    from alembic.operations import Operations  # noqa: PLC0415  # see above
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above

    output = _Statements()
    options = {"as_sql": True, "output_buffer": cast("TextIO", output)}
    context = MigrationContext.configure(dialect=DIALECTS[dialect], opts=options)
    try:
        with Operations.context(context):
            _load_module(file.path).upgrade()
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file.path)
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise ConfigurationError([f"{file}.py{where}: {_describe_error(error)}"]) from error
    return output.items


def _load_module(path: Path) -> ModuleType:
    module = ModuleType(f"restwell_migration_{path.stem}")
    module.__file__ = str(path)
    SourceFileLoader(module.__name__, str(path)).exec_module(module)
    return module


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _Statements:
    """An output buffer that collects the statements: Alembic writes each one with one call."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        if not all(line.startswith("-- ") for line in statement.splitlines()):
            self.items.append(statement)

    def flush(self) -> None: ...
