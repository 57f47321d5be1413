"""Files that the application keeps, in a folder that all its processes share."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


class Files:
    """Of several machines, the folder is a volume that all of them have.

    A name is like ``images/0192f0c1/large.webp``: lower case letters, digits, ``. _ -``, and ``/`` between folders; anything else is
    a ValueError, so no name leads out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where it lies, or would."""
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"not a name of a file: {name!r}")
        return self._folder / name

    async def write(self, name: str, content: bytes) -> None:
        """Write a whole file, in place of any other. When this returns it is there to stay; nobody ever sees half of it."""
        await asyncio.to_thread(_write, self.path(name), content)

    async def copy_in(self, name: str, source: Path) -> None:
        """The same with what another file holds, however much that is; the other stays."""
        await asyncio.to_thread(_copy, self.path(name), source)

    async def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return await asyncio.to_thread(self.path(name).read_bytes)

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing, if it is not there."""
        await asyncio.to_thread(_delete, self.path(name))

    async def list_older_than(self, folder: str, seconds: float) -> list[str]:
        """The names directly in a folder of what was changed last so long ago."""
        return await asyncio.to_thread(lambda: list(_older(self.path(folder), time.time() - seconds)))


def _write(path: Path, content: bytes) -> None:
    _fill(path, lambda file: file.write(content))


def _copy(path: Path, source: Path) -> None:
    with source.open("rb") as original:
        _fill(path, lambda file: shutil.copyfileobj(original, file))


def _fill(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid4().hex}.part")
    try:
        with draft.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name itself is durable
    finally:
        os.close(folder)


def _delete(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _delete(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _older(folder: Path, than: float) -> Iterator[str]:
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < than and _NAME.fullmatch(entry.name):
                yield entry.name
