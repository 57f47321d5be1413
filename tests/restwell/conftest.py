"""The tiny application, started as a server would start it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from restwell.database import Migrations, open_database
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, Settings
from restwell.testing import running
from servers import MORE
from tiny.app import MIGRATIONS, create_app


@pytest.fixture
def tiny_settings(tmp_path: Path, runtime_dir: Path) -> Settings:
    return Settings(
        runtime_dir=runtime_dir,
        rate_limit=RateLimitSettings(scale=MORE),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path / 'tiny.db'}")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )


@pytest.fixture
async def tiny(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tiny application, on a migrated database of its own."""
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await Migrations(MIGRATIONS).upgrade(database)
    async with running(create_app(tiny_settings)) as client:
        yield client
