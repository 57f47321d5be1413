"""A new database for each test: a copy of one that was migrated and filled once."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from restwell._extras import needs_extra
from restwell.database import Database, open_database
from restwell.ids import new_id


class DatabaseTemplate:
    """A database that is filled once, and copied for each test.

    ``server``: the URL of the maintenance database of a PostgreSQL server, which creates and drops the databases.
    Without it, they are SQLite files in ``folder``.
    """

    def __init__(self, folder: Path, server: str = "") -> None:
        self._folder, self._server = folder, server
        self._name = f"template_{new_id().hex}"
        self._is_filled = False

    @asynccontextmanager
    async def copy(self, fill: Callable[[Database], Awaitable[object]]) -> AsyncIterator[str]:
        """Yield the URL of a copy, and drop it at the end. Before the first one, ``fill`` fills the template."""
        if not self._is_filled:
            await self._fill(fill)
            self._is_filled = True
        if self._server:
            async with postgres_database(self._server, self._name) as url:
                yield url
            return
        copied = self._copy_file()
        try:
            yield f"sqlite:///{copied}"
        finally:
            _remove(copied)

    async def drop(self) -> None:
        """Drop the template, after the last test."""
        if self._server:
            await _execute(self._server, f'DROP DATABASE IF EXISTS "{self._name}"')
        else:
            _remove(self._file)

    @property
    def _file(self) -> Path:
        return self._folder / f"{self._name}.db"

    @property
    def _url(self) -> str:
        return _named(self._server, self._name) if self._server else f"sqlite:///{self._file}"

    async def _fill(self, fill: Callable[[Database], Awaitable[object]]) -> None:
        await self.drop()  # an attempt that failed
        if self._server:
            await _execute(self._server, f'CREATE DATABASE "{self._name}"')
        async with open_database(self._url) as database:
            await fill(database)

    def _copy_file(self) -> Path:
        return Path(shutil.copy(self._file, self._folder / f"test_{new_id().hex}.db"))


@asynccontextmanager
async def postgres_database(server: str, template: str) -> AsyncIterator[str]:
    """Create a database from the template, yield its URL, and drop it."""
    name = f"test_{new_id().hex}"
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield _named(server, name)
    finally:
        await _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _named(server: str, name: str) -> str:
    """The URL of another database of the server."""
    parts = urlsplit(server)
    options = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{options}"


async def _execute(server: str, statement: str) -> None:
    with needs_extra("postgresql", "TEST_POSTGRES_URL"):
        import asyncpg  # noqa: PLC0415  # loaded only if used
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _remove(database: Path) -> None:
    """Remove a SQLite file, with those that it has while it is in use."""
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
