"""Fixtures of the shop's tests: a seeded database for each test, the production application, and clients of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

import commands
import servers
from restwell import App
from restwell.auth import Passwords
from restwell.database import Database
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, RequestSettings, SmtpSettings
from restwell.testing import MailBox, running
from servers import MORE
from shop import demo
from shop.app import create_app
from shop.settings import PaymentsSettings, ShopSettings
from shop_client import ShopClient

pytest_plugins = ["shared_fixtures"]
collect_ignore = ["clients", "deploy", "image"]  # make clients, make deploy-check, make image

SECRET = "a secret for tests, which is long enough to be one"
commands.PRELOADED.append("shop.app")  # what most commands import
servers.SETTINGS["PAYMENTS_URL"] = "fake:///{folder}/payments.db"

# The lowest cost of Argon2, because most tests sign in. The processes that tests start have the production cost.
Passwords.__init__.__kwdefaults__ = {"memory_kib": 8, "passes": 1}


@pytest.fixture(scope="session")
def prepare() -> Callable[[Database], Awaitable[None]]:
    """Fills a database with the demo accounts and the demo catalogue."""

    async def migrate_and_seed(database: Database) -> None:
        await create_app(ShopSettings()).migrations.upgrade(database)
        await demo.seed(database)

    return migrate_and_seed


@pytest.fixture
def mail_box(tmp_path: Path) -> MailBox:
    """The mails of the application."""
    return MailBox(tmp_path / "mails")


@pytest.fixture
def settings(database_url: str, runtime_dir: Path, tmp_path: Path, mail_box: MailBox) -> ShopSettings:
    return ShopSettings(
        database=DatabaseSettings(url=SecretStr(database_url)),
        jwt=JwtSettings(secret=SecretStr(SECRET)),
        runtime_dir=runtime_dir,
        rate_limit=RateLimitSettings(scale=MORE),
        request=RequestSettings(timeout_seconds=30),  # for a busy machine
        payments=PaymentsSettings(url=SecretStr(f"fake:///{tmp_path}/payments.db")),
        smtp=SmtpSettings(url=SecretStr(mail_box.smtp_url)),
    )


@pytest.fixture
def app(settings: ShopSettings) -> App:
    """The production application; ``client`` starts it."""
    return create_app(settings)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """An in-process client of the production application."""
    async with running(app) as connected:
        yield connected


@pytest.fixture
def anyone(client: httpx.AsyncClient) -> ShopClient:
    return ShopClient(client)


@pytest.fixture
async def customer(client: httpx.AsyncClient) -> ShopClient:
    return await ShopClient(client).sign_in("customer1@shop.example")


@pytest.fixture
async def other(client: httpx.AsyncClient) -> ShopClient:
    return await ShopClient(client).sign_in("customer2@shop.example")


@pytest.fixture
async def admin(client: httpx.AsyncClient) -> ShopClient:
    return await ShopClient(client).sign_in("admin@shop.example")
