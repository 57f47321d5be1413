"""A server of some controllers in process, for the tests of one module."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from fuzzing import InProcess, in_process
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.web import Controller
from tiny.app import app_of


@contextmanager
def serve_controllers(folder: Path, *controllers: type[Controller]) -> Iterator[InProcess]:
    """Serve an application of these controllers, below ``/v1``, with its files in ``folder``."""
    with in_process(app_of(settings_in(folder), *controllers)) as server:
        yield server


def settings_in(folder: Path) -> Settings:
    """Settings of an application with its files in ``folder``."""
    return Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder}/tiny.db")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        runtime_dir=folder,
    )
