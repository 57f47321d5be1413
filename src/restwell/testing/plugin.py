"""Fixtures of pytest for an application: ``pytest_plugins = ["restwell.testing.plugin"]`` in ``conftest.py``.

They run the production application on a new database for each test. A fixture of the same name in ``conftest.py``
replaces one. Needs the extra ``testing``; ``sign_in_as`` and ``openid_provider`` need the extra ``auth`` too.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

from restwell import testing
from restwell._application import App
from restwell._extras import needs_extra
from restwell._project import APP_VARIABLE, Project, configured, find_project
from restwell.database import Database
from restwell.testing import ApiClient, DatabaseTemplate, MailBox, SignInAs, running

with needs_extra("testing", "restwell.testing.plugin"):
    import pytest
    import pytest_asyncio

__all__ = [
    "app",
    "client",
    "database_template",
    "database_url",
    "mail_box",
    "openid_provider",
    "restwell_project",
    "restwell_settings",
    "seed_database",
    "sign_in_as",
]

Seed = Callable[[Database], Awaitable[object]]

PASSWORD: Final = "a password of the tests"  # noqa: S105  # of users that exist in tests only


@pytest.fixture(scope="session")
def restwell_project(pytestconfig: pytest.Config) -> Project:
    """The application that RESTWELL_APP or ``app`` under ``[tool.restwell]`` in ``pyproject.toml`` names."""
    return find_project(os.environ.get(APP_VARIABLE) or configured("app", pytestconfig.rootpath / "pyproject.toml"))


@pytest.fixture
def restwell_settings(tmp_path: Path, mail_box: MailBox) -> dict[str, str]:
    """The settings of the application by their names, except DATABASE_URL. There are no rate limits."""
    return {
        "APP_ENV": "test",
        "FILES_DIR": f"{tmp_path}/files",
        "JWT_SECRET": "a secret of the tests, which is long enough to be one",
        "RATE_LIMIT_SCALE": "0",
        "REQUEST_TIMEOUT_SECONDS": "30",  # for a busy machine
        "RUNTIME_DIR": f"{tmp_path}/run",
        "SMTP_URL": mail_box.smtp_url,
    }


@pytest.fixture(scope="session")
def seed_database() -> Seed | None:
    """A function that fills the template of the databases after its migration; None for none."""
    return None


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseTemplate]:
    """The template of ``database_url``: a SQLite file, or on the PostgreSQL server of TEST_POSTGRES_URL."""
    template = DatabaseTemplate(tmp_path_factory.mktemp("databases"), os.environ.get("TEST_POSTGRES_URL", ""))
    yield template
    asyncio.run(template.drop())


@pytest_asyncio.fixture
async def database_url(
    restwell_project: Project,
    restwell_settings: dict[str, str],
    seed_database: Seed | None,
    database_template: DatabaseTemplate,
) -> AsyncIterator[str]:
    """The URL of a new database, which is migrated and seeded: a copy of the template."""

    async def fill(database: Database) -> None:
        built = _create_app(restwell_project, restwell_settings, "sqlite:///unused.db")
        await built.migrations.upgrade(database)
        if seed_database is not None:
            await seed_database(database)

    async with database_template.copy(fill) as url:
        yield url


@pytest.fixture
def app(restwell_project: Project, restwell_settings: dict[str, str], database_url: str) -> App:
    """The production application; ``client`` starts it."""
    return _create_app(restwell_project, restwell_settings, database_url)


@pytest_asyncio.fixture
async def client(app: App) -> AsyncIterator[ApiClient]:
    """A caller of the running application, which is not signed in."""
    async with running(app) as started:
        yield ApiClient(started)


@pytest.fixture
def sign_in_as(app: App, client: ApiClient) -> SignInAs:
    """A function of a role, to be awaited: it adds a user with this role, and returns the client of its session."""
    numbers = count(1)

    async def sign_in(role: str) -> ApiClient:
        with needs_extra("auth", "sign_in_as"):
            from restwell.accounts._seed import add_user  # noqa: PLC0415  # loaded only if used
        email = f"user-{next(numbers)}@example.com"
        await add_user(app, email, f"The {role}", PASSWORD, role)
        return await ApiClient(client.client, sessions_path=client.sessions_path).sign_in(email, PASSWORD)

    return sign_in


@pytest.fixture
def mail_box(tmp_path: Path) -> MailBox:
    """The mails that the application has sent."""
    return MailBox(tmp_path / "mail")


@pytest.fixture
def openid_provider() -> "Iterator[testing.OpenIdProvider]":
    """An identity provider on loopback. The application needs its ``setting(name)`` as OAUTH_PROVIDERS."""
    with testing.OpenIdProvider() as started:
        yield started


def _create_app(project: Project, settings: dict[str, str], url: str) -> App:
    built: App = project.create_app(project.settings.load({**settings, "DATABASE_URL": url}))
    return built
