"""The Link header of a page, on every route that returns one."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.pages import Page, PageFilter
from restwell.web import Controller, Response, get, with_etag
from restwell.web._links import next_page


class Named(PageFilter, frozen=True, kw_only=True):
    name: str = ""
    last: Annotated[bool, Meta(description="Return the last page.")] = False


class Things(Controller):
    path = "/things"

    @get()
    async def list_things(self, filters: Named) -> Page[int]:
        """List things."""
        return Page([1], None if filters.last else "abc")

    @get("/versioned")
    async def list_versioned(self, filters: Named) -> Response[Page[int]]:
        """List things with an ETag."""
        return with_etag(Page([1], None if filters.last else "abc"), 3)

    @get("/maybe")
    async def list_or_nothing(self, filters: Named) -> Page[int] | None:
        """List things, or return nothing."""
        return None if filters.last else Page([1], "abc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("things"), Things) as started:
        yield started


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (b"", "/v1/things?cursor=abc"),
        (b"limit=2&cursor=old&sort=-name", "/v1/things?limit=2&sort=-name&cursor=abc"),
        (b"name=a%20b", "/v1/things?name=a+b&cursor=abc"),
        (b'name=>; rel="prev"', "/v1/things?name=%3E%3B+rel%3D%22prev%22&cursor=abc"),
        (b"name=&limit=2", "/v1/things?name=&limit=2&cursor=abc"),
        (b"name=%26&cursor", "/v1/things?name=%26&cursor=abc"),
        (b"%63ursor=old", "/v1/things?cursor=abc"),
    ],
)
def test_the_link_to_the_next_page_keeps_the_query(query: bytes, target: str) -> None:
    """Breaks when characters that end the link are not encoded: a client could inject another link."""
    assert next_page({"path": "/v1/things", "query_string": query}, "abc") == target


@pytest.mark.parametrize("path", ["/v1/things", "/v1/things/versioned", "/v1/things/maybe"])
def test_every_page_but_the_last_links_to_the_next(server: InProcess, path: str) -> None:
    """Breaks when only handlers that return a Page without headers get the link, and when None has no page."""
    response = server.send("GET", f"{path}?limit=5")
    assert (response.status, msgspec.json.decode(response.body)["items"]) == (200, [1])
    assert response.headers[b"link"] == f'<{path}?limit=5&cursor=abc>; rel="next"'.encode()
    last = server.send("GET", f"{path}?last=true")
    assert (last.status, b"link" in last.headers) == (200, False)


def test_a_page_of_another_path_encoding_is_linked(server: InProcess) -> None:
    assert server.send("GET", "/v1/things?name=%E2%82%AC").headers[b"link"] == (
        b'</v1/things?name=%E2%82%AC&cursor=abc>; rel="next"'
    )


def test_a_page_is_a_struct() -> None:
    assert issubclass(Page, Struct)
