"""Copies a SQLite database into a new file."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from restwell._atomic_file import replacing
from restwell.database._facade import DatabaseUnavailable


def back_up(source: Path, target: Path, configure: Callable[[apsw.Connection], None]) -> None:
    """Copy a consistent snapshot, check it, and rename it to ``target``."""
    with replacing(target, draft=target.with_name(f".{target.name}.part"), durable=True) as draft:
        draft.unlink(missing_ok=True)  # of a process that was killed
        connection = apsw.Connection(os.fspath(source))
        try:
            configure(connection)
            connection.execute("VACUUM INTO ?", (os.fspath(draft),))
        finally:
            connection.close()
        _verify(draft)


def _verify(path: Path) -> None:
    copy = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = copy.pragma("integrity_check")
    finally:
        copy.close()
    if found != "ok":
        raise DatabaseUnavailable(f"the backup is corrupt: {found}")
