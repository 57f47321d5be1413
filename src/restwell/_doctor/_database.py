"""The database server: its version, its durability, its connections, its collation and its extensions."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct
from sqlalchemy import column, text

from restwell._database_url import postgres_url
from restwell._doctor._finding import Finding, Subject
from restwell._startup import connection_limit_fault
from restwell.database import Database, query

MIN_VERSION: Final = 13
SETTING: Final = "DATABASE_URL"


class _Server(Struct, frozen=True):
    version: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    autovacuum: str


class _Extension(Struct, frozen=True):
    name: str
    installed: str
    available: str


_server: Final = query(
    "doctor.server",
    text(
        "SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('fsync') AS fsync,"
        " current_setting('full_page_writes') AS full_page_writes,"
        " current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum"
    ).columns(*map(column, _Server.__struct_fields__)),
    into=_Server,
)
_collation: Final = query(
    "doctor.collation",
    text(
        "SELECT datname FROM pg_database WHERE datname = current_database()"
        " AND datcollversion <> pg_database_collation_actual_version(oid)"
    ),
    into=str,
)
_extensions: Final = query(
    "doctor.extensions",
    text(
        "SELECT name, installed_version AS installed, default_version AS available FROM pg_available_extensions"
        " WHERE installed_version <> default_version ORDER BY name"
    ).columns(*map(column, _Extension.__struct_fields__)),
    into=_Extension,
)
_disabled: Final = {
    "fsync": "a crash of the machine may destroy the database",
    "full_page_writes": "a crash of the machine may destroy the database",
    "synchronous_commit": "a crash loses writes that were acknowledged",
    "autovacuum": "tables and indexes grow without a limit, and plans use old statistics",
}


async def check_server(subject: Subject) -> AsyncIterator[Finding]:
    database = subject.database
    if database is None or database.dialect != "postgresql":
        return
    server = await database.primary.one(_server)
    if server.version < MIN_VERSION:
        yield Finding(
            "error", SETTING, f"PostgreSQL {server.version} is too old. Upgrade it to {MIN_VERSION} or newer."
        )
    for name, effect in _disabled.items():
        if getattr(server, name) == "off":
            yield Finding("warning", SETTING, f"{name} is off: {effect}. Set {name} = on in postgresql.conf.")
    fault = await connection_limit_fault(database, subject.settings)
    if fault is not None:
        yield Finding("error", "DATABASE_POOL_SIZE", f"{fault}.")
    ignored = postgres_url(subject.settings.database.url.get_secret_value()).ignored
    if ignored:
        yield Finding("hint", SETTING, f"the options {', '.join(ignored)} have no effect. Remove them.")
    async for finding in _check_contents(database, server.version):
        yield finding


async def _check_contents(database: Database, version: int) -> AsyncIterator[Finding]:
    if version >= 15 and (name := await database.primary.find(_collation)) is not None:
        yield Finding(
            "warning",
            SETTING,
            "the collation of the operating system has another version than when the database was created, so text"
            f' indexes may be out of order. Run REINDEX DATABASE "{name}", then ALTER DATABASE "{name}" REFRESH'
            " COLLATION VERSION.",
        )
    for extension in await database.primary.all(_extensions):
        yield Finding(
            "hint",
            f"extension {extension.name}",
            f"version {extension.installed} is installed, and the server has {extension.available}."
            f' Run ALTER EXTENSION "{extension.name}" UPDATE.',
        )
