"""Loads the project, its settings and its database for the commands."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import SecretStr

from restwell._application import App
from restwell._project import Project, find_project
from restwell.database import Database, open_database
from restwell.observability._logs import configure_logs
from restwell.settings import Settings

T = TypeVar("T")


def load() -> tuple[Project, Settings]:
    project = find_project()
    settings = project.load_settings()
    configure_logs(settings.log)
    return project, settings


def create_app_to_inspect(project: Project, settings: Settings) -> App:
    """Create the app with a random secret if none is set, so that no secret file is written."""
    if settings.jwt.secret is None:
        jwt = settings.jwt.model_copy(update={"secret": SecretStr(secrets.token_urlsafe(48))})
        settings = settings.model_copy(update={"jwt": jwt})
    return project.create_app(settings)


def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Run ``work`` with a started database in a new event loop."""

    async def run() -> T:
        async with open_database(settings.database.url.get_secret_value(), 1) as database:
            return await work(database)

    return asyncio.run(run())
