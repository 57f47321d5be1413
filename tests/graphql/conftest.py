"""A running library with 30 books, and a client of its GraphQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from graphql_app import create_app, fill
from restwell import App
from restwell.database import open_database
from restwell.settings import Settings
from restwell.testing import running

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def filled(migrated: Settings) -> Settings:
    async with open_database(migrated.database.url.get_secret_value()) as database:
        await database.run_many(fill, [{"text": f"book {number}"} for number in range(1, 31)])
    return migrated


@pytest.fixture
def unstarted(tiny_settings: Settings) -> App:
    """The library without a database, for what needs none."""
    return create_app(tiny_settings)


@pytest.fixture
def library_app(filled: Settings) -> App:
    return create_app(filled)


@pytest.fixture
async def client(library_app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(library_app) as client:
        yield client


@pytest.fixture
def ask(client: httpx.AsyncClient) -> Ask:
    """Sends a document; with ``token`` as this user, and ``headers``. Other arguments are members of the body."""

    async def send(query: str | None, token: str = "", headers: dict[str, str] | None = None, **body: Any) -> Any:
        sent = {"authorization": f"Bearer {token}"} if token else {}
        members = {**body, **({"query": query} if query is not None else {})}
        return await client.post("/graphql", json=members, headers={**sent, **(headers or {})})

    return send
