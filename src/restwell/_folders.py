"""Creates configured folders at startup. A folder that is not writable is a configuration error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from restwell.errors import ConfigurationError


def ensure_writable(folder: Path, setting: str, *, mode: int = 0o777) -> None:
    """Create the folder and a test file in it. Raises ConfigurationError, with the name of the setting, if it fails."""
    with checked_writes(folder, setting):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


@contextmanager
def checked_writes(folder: Path, setting: str) -> Iterator[None]:
    """Around writes to ``folder`` at startup: turns OSError into ConfigurationError."""
    try:
        yield
    except OSError as error:
        hint = f"set {setting} to a writable path"
        raise ConfigurationError([f"{setting}: {folder} is not writable: {error.strerror}; {hint}"]) from error
