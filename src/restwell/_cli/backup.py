"""``restwell backup``: a copy of a SQLite database."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restwell._cli.loading import load, with_database
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell.database import Database


def backup(target: Annotated[Path, typer.Argument(help="The file to create. It must not exist.")]) -> None:
    """Copy a SQLite database into a new file while it is in use."""
    from restwell.database._sqlite import SqliteDatabase

    _, settings = load()
    if target.exists() or not target.parent.is_dir():
        what = "already exists" if target.exists() else "is in a folder that does not exist"
        raise ConfigurationError([f"{target} {what}; choose another path"])

    async def copy(database: Database) -> None:
        if not isinstance(database, SqliteDatabase):
            raise ConfigurationError(["backup supports SQLite only: use pg_dump --format=custom"])
        await database.backup(target)

    with_database(settings, copy)
    print(f"{target} ({target.stat().st_size:,} bytes)")
