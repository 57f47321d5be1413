"""A request: the content type and the coding of its JSON body, and the information about its client."""

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from restwell.auth import ClientInfo
from restwell.web import Controller, Request, client_info, get, patch, post

JSON, MERGE_PATCH = b"application/json", b"application/merge-patch+json"


class Draft(Struct, frozen=True):
    text: str


class Drafts(Controller):
    path = "/drafts"

    @post(status_code=200)
    async def add(self, data: Draft) -> Draft:
        """Add."""
        return data

    @get("/client")
    async def describe_client(self, request: Request) -> ClientInfo:
        """Describe the client."""
        return client_info(request)

    @patch()
    async def change(self, data: Draft) -> Draft:
        """Change."""
        return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("drafts"), Drafts) as started:
        yield started


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        ("POST", JSON, "200"),
        ("POST", b"Application/JSON", "200"),
        ("POST", JSON + b"; charset=utf-8", "200"),
        ("POST", b" \t" + JSON + b" \t; charset=utf-8", "200"),
        ("POST", b"\xa0" + JSON, "415"),
        ("POST", JSON + b"\x85", "415"),
        ("POST", JSON + b"\x0b", "415"),
        ("POST", MERGE_PATCH, "415"),
        ("POST", b"application/jsonp", "415"),
        ("PATCH", MERGE_PATCH, "200"),
        ("PATCH", MERGE_PATCH + b"\xa0", "415"),
        ("PATCH", JSON, "415"),
    ],
)
def test_a_body_needs_the_content_type_of_its_method(
    server: InProcess, method: str, content_type: bytes, status: str
) -> None:
    """Breaks with ``strip()``, which also removes Unicode spaces: a proxy that checks the type does not."""
    response = server.send(method, "/v1/drafts", [(b"content-type", content_type)], b'{"text": "x"}')
    assert checked_status(response) == status
    if status == "415":
        name, expected = (b"accept", JSON) if method == "POST" else (b"accept-patch", MERGE_PATCH)
        assert response.headers[name] == expected


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"identity", "200"),
        (b" \tIdentity\t ", "200"),
        (b"gzip", "415"),
        (b"", "415"),
        (b"\xa0identity", "415"),
        (b"identity\x0b", "415"),
    ],
)
def test_a_compressed_body_is_refused(server: InProcess, coding: bytes, status: str) -> None:
    """Breaks when a coding is ignored, and with ``strip()``, as for the content type."""
    headers = [(b"content-type", JSON), (b"content-encoding", coding)]
    response = server.send("POST", "/v1/drafts", headers, b'{"text": "x"}')
    assert checked_status(response) == status
    assert response.headers.get(b"accept-encoding", b"identity") == b"identity"


def test_a_missing_body_is_named(server: InProcess) -> None:
    response = server.send("POST", "/v1/drafts", [(b"content-type", JSON)])
    assert (checked_status(response), b"needs a JSON body" in response.body) == ("400", True)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [(b"Browser/1.0 (X11)", "Browser/1.0 (X11)"), (b"a\x1b[31m\tb", "a[31mb"), (b"a" * 5_000, "a" * 200), (b"", "")],
)
def test_the_user_agent_is_short_and_printable(server: InProcess, agent: bytes, expected: str) -> None:
    """Breaks when control characters are stored: a terminal that lists the sessions would obey them."""
    response = server.send("GET", "/v1/drafts/client", [(b"user-agent", agent)])
    assert msgspec.json.decode(response.body) == {"user_agent": expected, "ip_address": "127.0.0.1"}
