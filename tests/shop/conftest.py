"""The shop, started as in production, and people who use it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from people import Person
from restwell.settings import DatabaseSettings, JwtSettings
from restwell.testing import running
from shop.app import create_app
from shop.settings import ShopSettings

SECRET = "a secret for tests, which is long enough to be one"


@pytest.fixture
def settings(database_url: str) -> ShopSettings:
    return ShopSettings(
        database=DatabaseSettings(url=SecretStr(database_url)), jwt=JwtSettings(secret=SecretStr(SECRET))
    )


@pytest.fixture
async def client(settings: ShopSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the production app, in process."""
    async with running(create_app(settings)) as connected:
        yield connected


@pytest.fixture
def anyone(client: httpx.AsyncClient) -> Person:
    return Person(client)


@pytest.fixture
async def customer(client: httpx.AsyncClient) -> Person:
    return await Person(client).sign_in("customer1@shop.example")


@pytest.fixture
async def other(client: httpx.AsyncClient) -> Person:
    return await Person(client).sign_in("customer2@shop.example")


@pytest.fixture
async def admin(client: httpx.AsyncClient) -> Person:
    return await Person(client).sign_in("admin@shop.example")
