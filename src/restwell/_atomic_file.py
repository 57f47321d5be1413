"""Files that appear complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(
    path: Path, *, draft: Path | None = None, durable: bool = False, exclusive: bool = False
) -> Iterator[Path]:
    """Write to the path that this yields: the end of the block renames it to ``path``. An error deletes it.

    Readers see the old file or the new one. ``draft`` is in the folder of ``path``; by default it has a random name, so
    that concurrent writers do not share it. With ``durable``, a crash of the machine cannot undo the end of the block.
    With ``exclusive``, raises FileExistsError if ``path`` exists.
    """
    draft = draft or path.with_name(f".{uuid4().hex}.part")
    try:
        yield draft
        if durable:
            _sync(draft)
        if exclusive:
            os.link(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        _sync(path.parent)  # makes the directory entry durable


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
