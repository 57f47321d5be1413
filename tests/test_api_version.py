"""What one version of an API has issued is not valid in another, and remains valid in its own."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
from msgspec import Struct

from api_client import assert_problem
from restwell import Restwell
from restwell.database import open_database
from restwell.pages import Cursors, Page, PageFilter
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, IfMatch, Response, Version, check_version, get, public, put, with_etag

ROW_VERSION: Final = 3
PREFIXES: Final = ("/v1", "/api/v2", "/v3,ü", "")


class Thing(Struct):
    name: str


class Things(Controller):
    path = "/things"

    @get()
    async def list_things(self, filters: PageFilter, cursors: Cursors) -> Page[int]:
        """List things."""
        first = cursors.decode("things", filters.cursor, tuple[int])[0] if filters.cursor is not None else 0
        return Page([first], cursors.encode("things", (first + 1,)))

    @get("/one", cache=public(ttl_seconds=60, tags=["thing"]))
    async def get_thing(self) -> Response[Thing]:
        """Get a thing."""
        return with_etag(Thing("one"), ROW_VERSION)

    @put("/one")
    async def change_thing(self, data: Thing, if_match: IfMatch) -> Thing:
        """Change a thing."""
        check_version(ROW_VERSION, if_match)
        return data


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    versions = [Version(prefix, [Things]) for prefix in PREFIXES if prefix]
    app = Restwell(tiny_settings, name="things").app([*versions, Things])
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await app.migrations.upgrade(database)
    async with running(app) as connected:
        yield connected


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_cursor_of_another_version_is_refused(client: httpx.AsyncClient, prefix: str) -> None:
    """Fails if the version is not part of the scope of cursors."""
    cursor = (await client.get(f"{prefix}/things")).json()["next_cursor"]
    for other in PREFIXES:
        answer = await client.get(f"{other}/things", params={"cursor": cursor})
        if other == prefix:
            assert answer.json()["items"] == [1]
        else:
            assert_problem(answer, 400, "invalid_cursor")


@pytest.mark.parametrize(
    ("prefix", "tag"), [("/v1", '"3.v1"'), ("/api/v2", '"3.api.v2"'), ("/v3,ü", '"3.v3%2C%C3%BC"'), ("", '"3"')]
)
async def test_an_etag_is_of_its_version(client: httpx.AsyncClient, prefix: str, tag: str) -> None:
    """Fails if the tag is the version of the row alone: a 304 would confirm the representation of another version."""
    assert (await client.get(f"{prefix}/things/one")).headers["etag"] == tag
    for other in PREFIXES:
        for _ in "ab":  # the second response is from the cache
            read = await client.get(f"{other}/things/one", headers={"if-none-match": tag})
            assert read.status_code == (304 if other == prefix else 200)
        changed = await client.put(f"{other}/things/one", json={"name": "two"}, headers={"if-match": f"W/{tag}"})
        assert changed.status_code == (200 if other == prefix else 412)
