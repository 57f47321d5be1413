"""Public caching of a route: what it passes to its handler."""

from collections.abc import Iterator

import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.web import Controller, Inject, get, public


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
