"""Public caching of a route: what it passes to its handler, its tags, and its normalized query."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.edge._route import CachePolicy
from restwell.email_addresses import EmailAddress
from restwell.web import Controller, get, public


class Filter(Struct, frozen=True):
    yes: bool = False


class Renamed(Struct, frozen=True, rename="kebab"):
    page_size: int = 20
    who: EmailAddress | None = None
    colours: Literal["red", "blue"] = "red"


class Things(Controller):
    path = "/things"

    @get("/kept-flag", cache=public(ttl_seconds=60, tags=["flag:{yes}"]))
    async def kept_flag(self, filters: Filter) -> dict[str, bool]:
        """Stored by the edge, which normalizes the query."""
        return {"yes": filters.yes}

    @get("/renamed", cache=public(ttl_seconds=60, tags=["sizes:{page_size}"]))
    async def renamed(self, filters: Renamed) -> dict[str, int]:
        """Its parameters have other names than its fields."""
        return {"size": filters.page_size}

    @get("/one-by-one/{number}", cache=public(ttl_seconds=60, tags=["{number}:{page}"]))
    async def one_by_one(self, number: int, page: int = 1) -> list[int]:
        """Query parameters one by one."""
        return [number, page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("caching"), Things) as started:
        yield started


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_cached_route_passes_a_boolean_as_the_client_wrote_it(server: InProcess, text: str) -> None:
    """Breaks when the edge formats a boolean like Python: the handler then rejects `True` of every client."""
    response = server.send("GET", f"/v1/things/kept-flag?yes={text}")
    assert (response.status, response.body) == (200, b'{"yes":%s}' % text.encode())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("renamed?page-size=5&who=a@b.example&colours=blue", b'{"size":5}'),
        ("renamed", b'{"size":20}'),
        ("one-by-one/3?page=2", b"[3,2]"),
        ("one-by-one/3", b"[3,1]"),
    ],
)
def test_a_cached_route_passes_parameters_by_their_names(server: InProcess, path: str, body: bytes) -> None:
    """Breaks when the names of the fields are used: a Struct may rename them."""
    first, second = [server.send("GET", f"/v1/things/{path}") for _ in range(2)]
    assert [(each.status, each.body) for each in (first, second)] == [(200, body)] * 2
    assert b"hit" in second.headers[b"cache-status"]


def policy(tags: Any, kind: type[Struct] | None = None) -> CachePolicy:
    return public(ttl_seconds=60, tags=tags, client_seconds=5, vary=["Accept-Language"]).policy(kind)


def test_the_policy_of_a_route_is_what_it_declares() -> None:
    found = policy([])
    assert (found.ttl_seconds, found.client_seconds, found.vary) == (60, 5, (b"accept-language",))


def test_tags_are_built_from_the_values_of_path_and_query() -> None:
    values = {"thing_id": "5", "yes": True}
    assert policy(["things", "thing:{thing_id}:{yes}"]).tags(values) == ["things", "thing:5:True"]
    assert policy(lambda values: [f"of:{values['thing_id']}"]).tags(values) == ["of:5"]


def test_the_parameters_in_tags_are_known() -> None:
    assert public(ttl_seconds=1, tags=["a", "{b}:{c:>3}", "{}"]).placeholders() == {"b", "c", "{}"}
    assert public(ttl_seconds=1, tags=lambda _: []).placeholders() == set()


def test_queries_of_one_meaning_share_one_cached_response() -> None:
    """Breaks when the query is part of the key as it was sent: any unknown parameter would miss the cache."""
    read_query = policy([], Filter).read_query
    for query in (b"", b"yes=false", b"utm_source=mail", b"yes=false&x=1"):
        assert read_query(query) == ({"yes": False}, b"")
    assert read_query(b"x=1&yes=true") == ({"yes": True}, b"yes=true")
    assert read_query(b"yes=maybe") is None
    assert policy([]).read_query(b"x=1") == ({}, b"")
    values, normalized = policy([], Renamed).read_query(b"colours=blue&page-size=5&who=a%40b.example") or ({}, b"")
    assert values == {"page_size": 5, "who": "a@b.example", "colours": "blue"}
    assert normalized == b"page-size=5&who=a%40b.example&colours=blue"


@pytest.mark.parametrize(
    "options",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": -1},
        {"client_seconds": -1},
        {"tags": "products"},
        {"vary": "accept-language"},
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any]) -> None:
    """Breaks when a text is taken as a list of its letters."""
    with pytest.raises(TypeError, match="public: "):
        public(**{"ttl_seconds": 60, "tags": [], **options})
