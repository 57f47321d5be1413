"""Fixtures of the kit's tests: the settings of the small application, its migrated database, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

import commands
from restwell.database import Migrations, open_database
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, Settings
from restwell.testing import running
from servers import MORE
from tiny.app import MIGRATIONS, create_app

pytest_plugins = ["shared_fixtures"]

commands.PRELOADED.append("tiny.app")  # what most commands import


@pytest.fixture
def tiny_settings(tmp_path: Path, runtime_dir: Path) -> Settings:
    return Settings(
        runtime_dir=runtime_dir,
        rate_limit=RateLimitSettings(scale=MORE),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path / 'tiny.db'}")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )


@pytest.fixture
async def migrated(tiny_settings: Settings) -> Settings:
    """The settings of the tiny application, with a migrated database."""
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await Migrations(MIGRATIONS).upgrade(database)
    return tiny_settings


@pytest.fixture
async def tiny(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tiny application."""
    async with running(create_app(migrated)) as client:
        yield client
