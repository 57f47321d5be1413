"""A database with the tables of the small application that counts, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from events_app.app import MIGRATIONS, create_app
from restwell import App
from restwell.database import Database, Migrations
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running


@pytest.fixture(scope="session")
def prepare() -> object:
    return migrate


async def migrate(database: Database) -> None:
    await Migrations(MIGRATIONS).upgrade(database)


@pytest.fixture
async def served(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """The running application, and a client of it."""
    settings = Settings(
        runtime_dir=tmp_path / "cache",
        database=DatabaseSettings(url=SecretStr(database_url)),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )
    made = create_app(settings)
    async with running(made) as client:
        yield made, client


@pytest.fixture
def app(served: tuple[App, httpx.AsyncClient]) -> App:
    return served[0]


@pytest.fixture
def client(served: tuple[App, httpx.AsyncClient]) -> httpx.AsyncClient:
    return served[1]
