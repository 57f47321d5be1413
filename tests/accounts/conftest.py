"""Fixtures of the tests of accounts: a migrated database with three users, the application, and clients of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from accounts_app import PASSWORD, create_app, seed
from fuzzing import InProcess, in_process
from misbehaving_provider import MisbehavingProvider
from oauth_browser import NAMES, OAuthBrowser
from restwell import App
from restwell.auth import Passwords
from restwell.database import Database, open_database
from restwell.settings import (
    DatabaseSettings,
    JwtSettings,
    OauthSettings,
    RateLimitSettings,
    RequestSettings,
    Settings,
    SmtpSettings,
)
from restwell.testing import ApiClient, MailBox, running
from servers import MORE

SECRET = "a secret for tests, which is long enough to be one"
PRODUCTION_COST = Passwords.__init__.__kwdefaults__


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest cost of Argon2, because most tests sign in."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 8, "passes": 1})


@pytest.fixture(scope="session")
def prepare() -> Callable[[Database], Awaitable[None]]:
    """Creates the tables of every part, and the users."""

    async def migrate_and_seed(database: Database) -> None:
        await create_app(Settings(), registration="invitation").migrations.upgrade(database)
        await seed(database)

    return migrate_and_seed


@pytest.fixture
def mail_box(tmp_path: Path) -> MailBox:
    """The mails of the application."""
    return MailBox(tmp_path / "mails")


@pytest.fixture
def settings(database_url: str, runtime_dir: Path, mail_box: MailBox) -> Settings:
    return Settings(
        database=DatabaseSettings(url=SecretStr(database_url)),
        jwt=JwtSettings(secret=SecretStr(SECRET)),
        runtime_dir=runtime_dir,
        rate_limit=RateLimitSettings(scale=MORE),
        request=RequestSettings(timeout_seconds=30),  # for a busy machine
        smtp=SmtpSettings(url=SecretStr(mail_box.smtp_url)),
    )


@pytest.fixture
async def production_cost(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All passwords have the hash of production. Request it before ``app``."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", PRODUCTION_COST)
    passwords = Passwords()
    async with database.transaction() as tx:
        await tx.run_script(f"UPDATE users SET password_hash = '{await passwords.hash(PASSWORD)}'")
    passwords.close()


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        yield connected


@pytest.fixture
def anyone(client: httpx.AsyncClient) -> ApiClient:
    return ApiClient(client)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """The application for fuzzing, on SQLite without rate limits. Tests share it."""
    folder = tmp_path_factory.mktemp("server")
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder / 'accounts.db'}")),
        jwt=JwtSettings(secret=SecretStr(SECRET)),
        runtime_dir=folder,
        rate_limit=RateLimitSettings(scale=0),
        request=RequestSettings(timeout_seconds=30),  # for a busy machine
        oauth=OauthSettings(providers=(SecretStr("okta=http://id:secret@127.0.0.1:9"),)),  # a closed port
    )
    app = create_app(settings)

    async def migrate_and_seed() -> None:
        async with open_database(settings.database.url.get_secret_value()) as database:
            await app.migrations.upgrade(database)
            await seed(database)

    asyncio.run(migrate_and_seed())
    with in_process(app) as started:
        yield started


@pytest.fixture
def name() -> str:
    """The name of the identity provider."""
    return "okta"


@pytest.fixture
def provider(name: str) -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(f"http://localhost:8000/v1/identities/{name}/callback") as started:
        yield started


@pytest.fixture
def oauth_settings(settings: Settings, provider: MisbehavingProvider) -> Settings:
    """Of an application with identity providers: create ``app`` with these."""
    secrets = tuple(SecretStr(provider.setting(one)) for one in NAMES)
    return settings.model_copy(update={"oauth": OauthSettings(providers=secrets)})


@pytest.fixture
def browser(client: httpx.AsyncClient) -> OAuthBrowser:
    return OAuthBrowser(client)


@pytest.fixture
async def member(client: httpx.AsyncClient) -> ApiClient:
    return await ApiClient(client).sign_in("member@app.example", PASSWORD)


@pytest.fixture
async def other(client: httpx.AsyncClient) -> ApiClient:
    return await ApiClient(client).sign_in("other@app.example", PASSWORD)


@pytest.fixture
async def admin(client: httpx.AsyncClient) -> ApiClient:
    return await ApiClient(client).sign_in("admin@app.example", PASSWORD)
