"""Loads the project, its settings and its database for the commands."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import asyncio
import os
import secrets
import sysconfig
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from restwell.errors import AppError, ConfigurationError

if TYPE_CHECKING:
    from restwell._application import App
    from restwell._project import Project
    from restwell.database import Database
    from restwell.settings import Settings

T = TypeVar("T")

_KIT: Final = str(Path(__file__).parents[1])
_LIBRARIES: Final = tuple(
    {
        *(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
        _KIT,
    }
)
"""The folders of code that is not the application's."""


class ApplicationError(ConfigurationError):
    """The code of the application raised an exception."""


def load_project() -> Project:
    from restwell._project import find_project

    with errors_of_application():
        return find_project()


def load(*, serves: bool = False) -> tuple[Project, Settings]:
    """The project and its settings. Logs go to standard error, unless the command ``serves`` until it is stopped."""
    from restwell.observability._logs import configure_logs

    project = load_project()
    settings = project.load_settings()
    configure_logs(settings.log, to="stdout" if serves else "stderr")
    return project, settings


def create_app_to_inspect(project: Project, settings: Settings) -> App:
    """Create the app with a random secret if none is set, so that no secret file is written."""
    from pydantic import SecretStr

    if settings.jwt.secret is None:
        jwt = settings.jwt.model_copy(update={"secret": SecretStr(secrets.token_urlsafe(48))})
        settings = settings.model_copy(update={"jwt": jwt})
    return create_app(project, settings)


def create_app(project: Project, settings: Settings) -> App:
    from restwell._application import App

    with errors_of_application(project.create_app):
        app: object = project.create_app(settings)
        if not isinstance(app, App):
            raise TypeError(f"create_app of {project.name} must return the result of kit.app(...), not {app!r}")
        return app


def check_not_production(settings: Settings, command: str) -> None:
    if settings.in_production:
        raise ConfigurationError([f"{command} is for development; APP_ENV is production"])


@contextmanager
def errors_of_application(called: Callable[..., object] | None = None) -> Iterator[None]:
    """Around code of the application: an exception becomes an ApplicationError with its file and line."""
    try:
        yield
    except (AppError, ConfigurationError):
        raise
    except Exception as error:
        if os.environ.get("LOG_LEVEL") == "debug":
            raise
        text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
        hint = "" if _is_of_kit(error) else " (LOG_LEVEL=debug shows the whole traceback)"
        raise ApplicationError([f"{_location(error, called)}: {text}{hint}"]) from error


def _is_of_kit(error: Exception) -> bool:
    """Whether the kit refuses what the application declares: its message says what to do."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(_KIT) and isinstance(error, TypeError)


def _location(error: Exception, called: Callable[..., object] | None) -> str:
    """The last line of the application that was running, or that cannot be parsed; otherwise where ``called`` is."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(error.filename)}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not os.path.realpath(frame.filename).startswith(_LIBRARIES)
    ]
    if frames:
        return f"{_relative(frames[-1].filename)}, line {frames[-1].lineno}"
    code = getattr(called, "__code__", None)
    return f"{_relative(code.co_filename)}, line {code.co_firstlineno}" if code is not None else "the application"


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Run ``work`` with a started database in a new event loop."""
    from restwell.database import open_database

    async def run() -> T:
        async with open_database(settings.database.url.get_secret_value(), 1) as database:
            return await work(database)

    return asyncio.run(run())
