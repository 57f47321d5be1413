"""The shop in process, on SQLite without rate limits. All tests of this folder share it."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from fuzzing import InProcess, in_process
from restwell.database import open_database
from restwell.settings import DatabaseSettings, JwtSettings, OauthSettings, RateLimitSettings
from seeded_shop import SeededShop, seeded_shop_of
from shop import demo
from shop.app import create_app
from shop.settings import PaymentsSettings, ShopSettings

WEBHOOK_SECRET = "whsec_of_the_shop_for_tests"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{folder / 'shop.db'}"
    asyncio.run(_prepare(url))
    settings = ShopSettings(
        database=DatabaseSettings(url=SecretStr(url)),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        runtime_dir=folder,
        rate_limit=RateLimitSettings(scale=0),
        payments=PaymentsSettings(
            url=SecretStr(f"fake:///{folder}/payments.db"), webhook_secret=SecretStr(WEBHOOK_SECRET)
        ),
        oauth=OauthSettings(providers=(SecretStr("okta=http://id:secret@127.0.0.1:9"),)),  # a closed port
    )
    with in_process(create_app(settings)) as started:
        yield started


@pytest.fixture(scope="session")
def seeded(server: InProcess) -> SeededShop:
    return seeded_shop_of(server)


async def _prepare(url: str) -> None:
    async with open_database(url) as opened:
        await create_app(ShopSettings()).migrations.upgrade(opened)
        await demo.seed(opened)
