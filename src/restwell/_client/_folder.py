"""Writes the files of a client into its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from restwell._atomic_file import replacing
from restwell.errors import ConfigurationError

MARK: Final = "Made by restwell client. Changes are lost: run the command again instead."
"""In the first line of each file, behind the comment sign of the language."""


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, by name, and remove those of an earlier client. The content of each begins with a MARK.

    Raises ConfigurationError before anything is written, for a file that is somebody else's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = {path.name for path in folder.iterdir() if path.is_file() and _is_ours(path)}
        if taken := [name for name in files if name not in ours and (folder / name).exists()]:
            raise ConfigurationError(
                [f"{folder / name}: not made by restwell client; move it, or choose another folder" for name in taken]
            )
        for name, content in files.items():
            with replacing(folder / name) as draft:
                draft.write_text(content, encoding="utf-8", newline="\n")
        for name in ours.difference(files):
            (folder / name).unlink()
    except OSError as error:
        raise ConfigurationError([f"{error.filename or folder}: {error.strerror}"]) from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.readline(2 * len(MARK))
