"""A request: the content type and the coding of its JSON body, and the information about its client."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from restwell.auth import ClientInfo
from restwell.edge._context import Message
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

    @get("/{number}/seen")
    async def describe(self, number: int, request: Request) -> dict[str, Any]:
        """Describe the request."""
        headers = request.headers
        return {
            "method": request.method,
            "path": request.path,
            "parameters": dict(request.path_parameters),
            "number": number,
            "query": request.query_string.decode(),
            "names": len(headers) == len(list(headers)),
            "agent": headers.get("User-Agent"),
            "missing": headers.get("x-missing"),
            "cookies": request.cookies,
            "id": request.request_id,
            "user": request.user_id,
        }

    @get("/actor")
    async def read_actor(self, request: Request) -> str:
        """Read the actor of a request without authentication."""
        return request.actor.role

    @post("/chunks", status_code=200, max_body_bytes=10)
    async def count_chunks(self, request: Request) -> list[int]:
        """Count the bytes of each chunk, then of the body."""
        return [len(chunk) async for chunk in request.stream()]

    @post("/twice", status_code=200)
    async def read_twice(self, request: Request) -> bool:
        """Read the body twice."""
        return await request.body() == await request.body()

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
    found = msgspec.json.decode(response.body)
    assert found == {"user_agent": expected, "ip_address": "127.0.0.1", "accept_language": ""}


def test_a_handler_reads_the_request(server: InProcess) -> None:
    """Breaks when a header is found in one case only, and when HEAD is visible to the handler."""
    headers = [(b"user-agent", b"A/1"), (b"cookie", b"a=1; b=2")]
    response = server.send("GET", "/v1/drafts/7/seen?x=%20", headers)
    assert msgspec.json.decode(response.body) == {
        "method": "GET",
        "path": "/v1/drafts/7/seen",
        "parameters": {"number": 7},
        "number": 7,
        "query": "x=%20",
        "names": True,
        "agent": "A/1",
        "missing": None,
        "cookies": {"a": "1", "b": "2"},
        "id": response.headers[b"x-request-id"].decode(),
        "user": None,
    }


def test_the_actor_of_a_route_without_guards_is_an_internal_error(server: InProcess) -> None:
    """Breaks when it is None: a handler that compares owners would then compare with nothing."""
    response = server.send("GET", "/v1/drafts/actor")
    assert (response.status, b"internal_error" in response.body) == (500, True)


def test_a_body_is_read_in_chunks_up_to_its_limit(server: InProcess) -> None:
    """Breaks when only Content-Length is checked: a chunked body has none."""
    chunks = server.send("POST", "/v1/drafts/chunks", body=b"0123456789", chunk_size=4)
    assert (chunks.status, chunks.body) == (200, b"[4,4,2]")
    assert checked_status(server.send("POST", "/v1/drafts/chunks", body=b"0123456789a")) == "413"
    for length in (b"5", b"0"):
        headers = [(b"host", b"app.test"), (b"content-length", length)]
        assert server.run(_status(server, headers, b"0123456789a")) == 413
    assert server.send("POST", "/v1/drafts/twice", body=b"abc").body == b"true"


@pytest.mark.parametrize("length", [b"x", b"-1", b"1_0", b"+1", b"\xb2", b""])
def test_a_content_length_that_is_no_number_is_refused(server: InProcess, length: bytes) -> None:
    """Breaks with ``int``, which accepts signs and underscores."""
    headers = [(b"host", b"app.test"), (b"content-length", length)]
    assert server.run(_status(server, headers, b"a")) == 400


def test_a_content_length_of_thousands_of_digits_is_too_large(server: InProcess) -> None:
    """Breaks with ``int``: Python refuses more than 4,300 digits with a ValueError."""
    headers = [(b"host", b"app.test"), (b"content-length", b"9" * 5_000)]
    assert server.run(_status(server, headers, b"a")) == 413


async def _status(server: InProcess, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """Send a request with exactly these headers, which no server would pass on."""
    sent: list[Message] = []
    scope = {"type": "http", "method": "POST", "path": "/v1/drafts/chunks", "raw_path": b"/v1/drafts/chunks"}
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await server.app({**scope, "query_string": b"", "headers": headers, "scheme": "http"}, receive, send)
    status: int = sent[0]["status"]
    return status
