"""Every route of the shop responds the same through Litestar as directly, byte for byte."""

import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from both_ways import assert_same_responses, hostile_requests, through_litestar
from restwell import App
from restwell.settings import DatabaseSettings
from restwell.testing import running
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

SIGNED = (
    rb"cursor=[\w%.-]+|=[\w.-]{40,}"
    rb'|"(?:next_cursor|\w+_token|secret|client_secret|recovery_codes|uri)":(?:"[^"]+"|\[[^]]*\])'
)
"""Cursors and secrets, which contain new ids or are random."""


@pytest.fixture
async def tokens(settings: ShopSettings) -> list[str]:
    """Access tokens of a customer and an admin, whose sessions are in the database."""
    async with running(create_app(settings)) as client:
        signed_in = [await ShopClient(client).sign_in(f"{name}@shop.example") for name in ("customer1", "admin")]
    return [each.tokens["access_token"] for each in signed_in]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
async def test_every_route_responds_the_same_through_litestar(
    settings: ShopSettings, database_url: str, tmp_path: Path, tokens: list[str]
) -> None:
    """Breaks without ``_restore_path`` of the host: the Location of what a request creates is below another path."""

    def with_a_copy(name: str) -> ShopSettings:
        folder = tmp_path / name
        folder.mkdir()
        copied = shutil.copy(database_url.removeprefix("sqlite:///"), folder)
        database = DatabaseSettings(url=SecretStr(f"sqlite:///{copied}"))
        return settings.model_copy(update={"database": database, "runtime_dir": folder})

    direct: App = create_app(with_a_copy("direct"))
    hosted = through_litestar(lambda: create_app(with_a_copy("hosted")))
    routes = [
        route for route in direct.routes if not route.path.startswith("/ops")
    ]  # its pages show the time and tokens
    routes.sort(key=lambda route: route.method == "DELETE")  # they end sessions and accounts
    async with running(direct), running(hosted):
        requests = hostile_requests(routes, [f"Bearer {token}".encode() for token in tokens])
        found = await assert_same_responses(direct, hosted, requests, varying=SIGNED)
    assert {(route.method, route.path) for route in routes} <= found
