"""Fixtures of the contract tests: the application of the tests of accounts, on SQLite."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts_app import create_app, seed
from contract_apps import migrate, variables
from restwell import App
from restwell.auth import Passwords
from restwell.settings import Settings
from restwell.testing import OpenIdProvider


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as started:
        yield started


@pytest.fixture
def accounts(tmp_path: Path, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> App:
    """Passwords have the lowest cost, because callers sign in often."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 8, "passes": 1})
    services = {"SMTP_URL": f"folder:{tmp_path}/mails", "OAUTH_PROVIDERS": provider.setting("okta")}
    app = create_app(Settings.load(variables(tmp_path) | services))
    asyncio.run(migrate(app, seed))
    return app
