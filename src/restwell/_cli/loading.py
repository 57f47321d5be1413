"""Loads the project, its settings and its database for the commands."""

import asyncio
import os
import secrets
import sysconfig
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from pydantic import SecretStr

from restwell._application import App
from restwell._project import Project, find_project
from restwell.database import Database, open_database
from restwell.errors import AppError, ConfigurationError
from restwell.observability._logs import configure_logs
from restwell.settings import Settings

T = TypeVar("T")


_LIBRARIES: Final = tuple(
    {
        *(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),
    }
)
"""The folders of code that is not the application's."""


class ApplicationError(ConfigurationError):
    """The code of the application raised an exception."""


def load_project() -> Project:
    with errors_of_application():
        return find_project()


def load() -> tuple[Project, Settings]:
    project = load_project()
    settings = project.load_settings()
    configure_logs(settings.log)
    return project, settings


def create_app_to_inspect(project: Project, settings: Settings) -> App:
    """Create the app with a random secret if none is set, so that no secret file is written."""
    if settings.jwt.secret is None:
        jwt = settings.jwt.model_copy(update={"secret": SecretStr(secrets.token_urlsafe(48))})
        settings = settings.model_copy(update={"jwt": jwt})
    return create_app(project, settings)


def create_app(project: Project, settings: Settings) -> App:
    with errors_of_application():
        return project.create_app(settings)


@contextmanager
def errors_of_application() -> Iterator[None]:
    """Around code of the application: an exception becomes an ApplicationError with its file and line."""
    try:
        yield
    except (AppError, ConfigurationError):
        raise
    except Exception as error:
        if os.environ.get("LOG_LEVEL") == "debug":
            raise
        text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
        hint = "LOG_LEVEL=debug shows the whole traceback"
        raise ApplicationError([f"{_location(error)}: {text} ({hint})"]) from error


def _location(error: Exception) -> str:
    """The last line of the application that was running, or that cannot be parsed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(error.filename)}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not os.path.realpath(frame.filename).startswith(_LIBRARIES)
    ]
    return f"{_relative(frames[-1].filename)}, line {frames[-1].lineno}" if frames else "the application"


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Run ``work`` with a started database in a new event loop."""

    async def run() -> T:
        async with open_database(settings.database.url.get_secret_value(), 1) as database:
            return await work(database)

    return asyncio.run(run())
