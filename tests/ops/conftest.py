"""Fixtures of the tests of the operations page: a migrated database with an admin and a member, and a browser."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from ops_app import FormBrowser, create_app, seed
from restwell import App
from restwell.auth import Passwords
from restwell.database import Database
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, Settings, SmtpSettings
from restwell.testing import running
from servers import MORE

SECRET = "a secret for tests, which is long enough to be one"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest cost of Argon2, because most tests sign in."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 8, "passes": 1})


@pytest.fixture(scope="session")
def prepare() -> Callable[[Database], Awaitable[None]]:
    """Creates the tables, and the users."""

    async def migrate_and_seed(database: Database) -> None:
        await create_app(Settings()).migrations.upgrade(database)
        await seed(database)

    return migrate_and_seed


@pytest.fixture
def settings(database_url: str, runtime_dir: Path, tmp_path: Path) -> Settings:
    return Settings(
        database=DatabaseSettings(url=SecretStr(database_url)),
        jwt=JwtSettings(secret=SecretStr(SECRET)),
        runtime_dir=runtime_dir,
        rate_limit=RateLimitSettings(scale=MORE),
        smtp=SmtpSettings(url=SecretStr(f"folder:{tmp_path / 'mails'}")),
    )


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        yield connected


@pytest.fixture
def browser(client: httpx.AsyncClient) -> FormBrowser:
    return FormBrowser(client)


@pytest.fixture
async def admin(browser: FormBrowser) -> FormBrowser:
    """A browser in which an admin has signed in."""
    answer = await browser.sign_in_with_form()
    assert answer.status_code == 303, answer.text
    return browser
