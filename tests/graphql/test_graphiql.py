"""GraphiQL is served from our own origin, and only where the schema is described."""

from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

from graphql_app import create_app
from restwell.graphql import _graphiql
from restwell.settings import GraphqlSettings, Settings
from restwell.testing import running

FILES = ("start.js", "start.css", "graphiql.min.css", "graphiql.min.js", "react.production.min.js")


async def test_the_page_loads_only_files_of_its_own_origin(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql")
    policy = page.headers["content-security-policy"]
    assert ("unsafe" in policy, "default-src 'none'" in policy, "http" in page.text) == (False, True, False)
    for name in FILES:
        assert f"/graphql/{name}" in page.text
        answer = await client.get(f"/graphql/{name}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=3600")
    for name in ("nothing.js", "..%2F_graphiql.py", "%2e%2e"):
        assert (await client.get(f"/graphql/{name}")).json()["code"] == "not_found"


async def test_the_limits_allow_the_query_for_the_schema(ask: Any) -> None:
    """Fails if the depth of types counts: GraphiQL would show an error."""
    answer = (await ask(get_introspection_query(input_value_deprecation=True))).json()
    assert "Book" in {each["name"] for each in answer["data"]["__schema"]["types"]}


async def test_there_is_no_page_without_introspection_or_its_extra(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if production has the page, or if a missing extra ends the start."""
    silent = tiny_settings.model_copy(update={"graphql": GraphqlSettings(introspection="off")})
    for settings in (silent, tiny_settings):
        if settings is tiny_settings:
            monkeypatch.setattr(_graphiql, "find_spec", lambda _name: None)
        async with running(create_app(settings)) as client:
            assert (await client.get("/graphql")).status_code == 404
