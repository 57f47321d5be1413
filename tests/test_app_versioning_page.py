"""The code of docs/versioning.md."""

import re
from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest

from restwell.settings import Settings
from restwell.testing import running
from servers import ROOT

PAGE = (ROOT / "docs/versioning.md").read_text()


@pytest.fixture
async def client(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    (code,) = re.findall(r"<!-- module: books -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    module = ModuleType("books")
    exec(code, module.__dict__)  # noqa: S102  # the page of this repository
    async with running(module.create_app(migrated)) as connected:
        yield connected


async def test_the_page_makes_a_second_version(client: httpx.AsyncClient) -> None:
    old, new = {"title": "Emma", "price_cents": 900}, {"title": "Emma", "price": {"cents": 900}}
    assert (await client.get("/v1/books")).json() == {"items": [old], "next_cursor": None}
    assert (await client.get("/v2/books")).json() == {"data": [new], "next": None}
    for prefix, book in (("/v1", old), ("/v2", new)):
        added = await client.post(f"{prefix}/books", json=book)
        assert (added.status_code, added.json(), added.headers["location"]) == (201, book, f"{prefix}/books/Emma")


async def test_the_page_shows_what_clients_see(client: httpx.AsyncClient) -> None:
    old, new = [await client.get(f"{prefix}/books") for prefix in ("/v1", "/v2")]
    for name in ("deprecation", "sunset"):
        assert f"`{name.title()}: {old.headers[name]}`" in PAGE
    assert '</v2>; rel="successor-version"' in old.headers["link"]
    assert not {"deprecation", "sunset", "link"} & new.headers.keys()
