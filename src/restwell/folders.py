"""Folders that the settings name: made and tried when a process starts, so that a disk it cannot write to is a fault of configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from restwell.errors import ConfigurationError


def ensure_writable(folder: Path, setting: str, *, mode: int = 0o777) -> None:
    """Have the folder. Raises ConfigurationError, which names its setting, where no file can be made in it."""
    with checked_writes(folder, setting):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


@contextmanager
def checked_writes(folder: Path, setting: str) -> Iterator[None]:
    """Around what is written there when a process starts."""
    try:
        yield
    except OSError as error:
        cure = f"set {setting} to what this user may write to"
        raise ConfigurationError([f"{setting}: {folder} cannot be written: {error.strerror}; {cure}"]) from error
