"""Public caching of a route: what it passes to its handler, its tags, and its normalized query."""

from collections.abc import Iterator

import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.settings import Settings
from restwell.web import Controller, FromPath, Inject, get, public
from restwell.web._caching import cached_routes
from tiny.app import app_of


class Filter(Struct, frozen=True):
    yes: bool = False


class Things(Controller):
    path = "/things"

    @get("/kept-flag", cached=public(ttl_seconds=60, tags=[]))
    async def kept_flag(self, filters: Inject[Filter]) -> dict[str, bool]:
        """Served by the edge, which normalizes the query."""
        return {"yes": filters.yes}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("caching"), Things) as started:
        yield started


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_cached_route_passes_a_boolean_as_the_client_wrote_it(server: InProcess, text: str) -> None:
    """Breaks when the edge formats a boolean like Python: the handler then rejects `True` of every client."""
    response = server.send("GET", f"/v1/things/kept-flag?yes={text}")
    assert (response.status, response.body) == (200, b'{"yes":%s}' % text.encode())


class Tagged(Controller):
    path = "/tagged"

    @get("/{thing_id:int}", cached=public(ttl_seconds=60, tags=["things", "thing:{thing_id}:{yes}"]))
    async def by_template(self, thing_id: FromPath[int], filters: Inject[Filter]) -> int:
        """Tags with values."""
        return thing_id if filters.yes else 0

    @get("/of/{thing_id:int}", cached=public(ttl_seconds=60, tags=lambda values: [f"of:{values['thing_id']}"]))
    async def by_function(self, thing_id: FromPath[int]) -> int:
        """Tags of a function."""
        return thing_id


def test_tags_are_built_from_the_values_of_path_and_query(tiny_settings: Settings) -> None:
    routes = {route.template: route for route in cached_routes(app_of(tiny_settings, Tagged).litestar)}
    values = {"thing_id": "5", "yes": True}
    assert routes["/v1/tagged/{thing_id}"].tags(values) == ["things", "thing:5:True"]
    assert routes["/v1/tagged/of/{thing_id}"].tags(values) == ["of:5"]


def test_queries_of_one_meaning_share_one_cached_response(tiny_settings: Settings) -> None:
    """Breaks when the query is part of the key as it was sent: any unknown parameter would miss the cache."""
    [route] = [one for one in cached_routes(app_of(tiny_settings, Tagged).litestar) if "of" not in one.template]
    for query in (b"", b"yes=false", b"utm_source=mail", b"yes=false&x=1"):
        assert route.read_query(query) == ({"yes": False}, b"")
    assert route.read_query(b"x=1&yes=true") == ({"yes": True}, b"yes=true")
    assert route.read_query(b"yes=maybe") is None
