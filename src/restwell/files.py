"""File storage in a folder that all processes share."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from restwell._atomic_file import replacing

__all__ = ["Files"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


class Files:
    """With several machines, ``folder`` must be a shared volume.

    A name is like ``images/0192f0c1/large.webp``: lower-case letters, digits, ``. _ -``, and ``/`` between folders.
    Each method raises ValueError for any other name, so a name cannot leave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The path of the file, whether it exists or not."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"invalid file name: {name!r}")
        return self._folder / name

    async def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it.

        Atomic and durable: readers see the old or the new file, and a crash cannot undo it.
        """
        await asyncio.to_thread(_write, self.path(name), content)

    async def copy_in(self, name: str, source: Path) -> None:
        """Copy ``source`` into the storage, atomically and durably. Works for files larger than memory."""
        await asyncio.to_thread(_copy, self.path(name), source)

    async def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return await asyncio.to_thread(self.path(name).read_bytes)

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with its contents. Does nothing if it does not exist."""
        await asyncio.to_thread(_delete, self.path(name))

    async def list_older_than(self, folder: str, seconds: float) -> list[str]:
        """The names of the entries directly in ``folder`` that were last modified more than ``seconds`` ago."""
        return await asyncio.to_thread(lambda: list(_older_than(self.path(folder), time.time() - seconds)))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as draft:
        draft.write_bytes(content)


def _copy(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as draft:
        shutil.copyfile(source, draft)


def _delete(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _delete(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _older_than(folder: Path, time_seconds: float) -> Iterator[str]:
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < time_seconds and _NAME.fullmatch(entry.name):
                yield entry.name
