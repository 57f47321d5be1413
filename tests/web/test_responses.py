"""Responses with headers: status, Location, ETag, cookies, downloads and resources that never change."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from msgspec import Struct

from controller_server import serve_controllers, settings_in
from fuzzing import InProcess, checked_status, in_process
from restwell import Restwell
from restwell.testing import running
from restwell.web import (
    Controller,
    Cookie,
    Response,
    Stream,
    Version,
    accepted,
    created,
    delete,
    download,
    get,
    immutable,
    post,
    put,
    redirect,
    stream_json,
    with_etag,
)
from restwell.web._responses import CHUNK_BYTES, header_field
from tiny.app import app_of

CONTENT = b"0123456789" * (CHUNK_BYTES // 8)
INJECTED = "a\r\nset-cookie: evil=1"
opened: list[str] = []


class Note(Struct, frozen=True):
    id: int


class Header(Struct, frozen=True):
    name: str
    value: str


class Kinds(Controller):
    """Each handler returns one kind of response."""

    path = "/kinds"

    @get("/text")
    async def text(self) -> str:
        """Text."""
        return "\u20ac"

    @get("/html")
    async def html(self) -> Response[str]:
        """A page."""
        return Response(content="<p>\u20ac</p>", media_type="text/html")

    @get("/xml", media_type="application/xml")
    async def xml(self) -> str:
        """A document."""
        return "<a/>"

    @get("/json-text")
    async def json_text(self) -> Response[str]:
        """A JSON string."""
        return Response(content="text", media_type="application/json")

    @get("/bytes")
    async def binary(self) -> bytes:
        """Bytes."""
        return b"\x00"

    @get("/note")
    async def note(self) -> Note:
        """A note."""
        return Note(1)

    @post()
    async def add(self) -> Note:
        """Add a note."""
        return Note(1)

    @post("/silently")
    async def add_silently(self) -> None:
        """Add a note."""

    @put()
    async def replace(self) -> Note:
        """Replace a note."""
        return Note(1)

    @delete()
    async def remove(self) -> None:
        """Delete a note."""

    @delete("/returned")
    async def delete_and_return(self) -> Note:
        """Delete a note and return it."""
        return Note(1)

    @put("/created")
    async def create_or_replace(self) -> Response[Note]:
        """Create a note."""
        return Response(content=Note(1), status_code=201)

    @get("/empty")
    async def nothing(self) -> Note | None:
        """No note."""
        return None

    @get("/cookies")
    async def cookies(self) -> Response[None]:
        """Two cookies."""
        return redirect("/next", Cookie("a", "1", 60), Cookie("b", "2", 0, "Lax"))

    @get("/header")
    async def header(self, filters: Header) -> Response[Note]:
        """A header of the client's choice."""
        return Response(content=Note(1), headers={filters.name: filters.value})

    @get("/stream-header")
    async def stream_header(self, filters: Header) -> Stream[bytes]:
        """A stream with a header of the client's choice."""

        async def chunks() -> AsyncIterator[bytes]:
            opened.append(filters.value)
            yield b"chunk"

        return Stream(open=chunks, media_type="text/plain", headers={filters.name: filters.value})

    @get("/redirect")
    async def redirect_to(self, to: str) -> Response[None]:
        """Redirect."""
        return redirect(to)

    @post("/created")
    async def create(self, name: str) -> Response[Note]:
        """Create a resource with this name."""
        return created(Note(1), name, headers={"X-Own": "yes"})

    @post("/{name}/parts")
    async def create_part(self, name: str) -> Response[Note]:  # noqa: ARG002  # the path has it
        """Create a part."""
        return created(Note(1), 7)

    @post("/accepted")
    async def accept(self) -> Response[Note]:
        """Accept a job."""
        return accepted(Note(1), "/v1/jobs/1")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("kinds"), Kinds) as started:
        yield started


@pytest.mark.parametrize(
    ("request_line", "status", "media_type", "body"),
    [
        ("GET /text", 200, b"text/plain; charset=utf-8", "\u20ac".encode()),
        ("GET /html", 200, b"text/html; charset=utf-8", "<p>\u20ac</p>".encode()),
        ("GET /xml", 200, b"application/xml", b"<a/>"),
        ("GET /json-text", 200, b"application/json", b'"text"'),
        ("GET /bytes", 200, b"application/octet-stream", b"\x00"),
        ("GET /note", 200, b"application/json", b'{"id":1}'),
        ("POST ", 201, b"application/json", b'{"id":1}'),
        ("POST /silently", 204, None, b""),
        ("PUT ", 200, b"application/json", b'{"id":1}'),
        ("DELETE ", 204, None, b""),
        ("DELETE /returned", 200, b"application/json", b'{"id":1}'),
        ("PUT /created", 201, b"application/json", b'{"id":1}'),
        ("GET /empty", 200, None, b""),
        ("HEAD /note", 200, b"application/json", b""),
    ],
)
def test_status_and_media_type_follow_from_the_method_and_the_result(
    kinds: InProcess, request_line: str, status: int, media_type: bytes | None, body: bytes
) -> None:
    """Seen to fail: DELETE with a result had 204, so that the result was lost; XML was sent as a JSON string."""
    method, _, path = request_line.partition(" ")
    response = kinds.send(method, f"/v1/kinds{path}")
    assert (response.status, response.headers.get(b"content-type"), response.body) == (status, media_type, body)
    length = len(b'{"id":1}') if method == "HEAD" else len(body)
    assert response.headers.get(b"content-length") == (None if status == 204 else b"%d" % length)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-own", INJECTED),
        ("x-own", "a\nb"),
        ("x-own", "a\rb"),
        ("x-own", "a\x00b"),
        ("x-own", "a\x7fb"),
        ("x-own", "\u20ac"),
        ("x-own: a\r\nx-other", "a"),
        ("x own", "a"),
        ("x-\xe9", "a"),
        ("", "a"),
    ],
)
def test_a_header_that_would_split_the_response_is_an_internal_error(kinds: InProcess, name: str, value: str) -> None:
    """Breaks when headers are encoded without a check: the client gets a cookie that the application did not set."""
    for path in ("header", "stream-header"):
        response = kinds.send("GET", f"/v1/kinds/{path}?{urlencode({'name': name, 'value': value})}")
        assert (response.status, b"internal_error" in response.body) == (500, True)
        assert b"evil" not in b"".join(response.headers.values())
    assert opened == []


@pytest.mark.parametrize("name", ["Content-Type", "content-length"])
def test_a_header_that_the_kit_sets_is_an_internal_error(kinds: InProcess, name: str) -> None:
    """Seen to fail: the response had it twice, and two lengths can split a response."""
    assert kinds.send("GET", f"/v1/kinds/header?name={name}&value=1").status == 500


def test_a_redirect_or_a_location_cannot_split_the_response(kinds: InProcess) -> None:
    """Breaks as the test above. A name that is appended to the path is percent-encoded."""
    assert kinds.send("GET", f"/v1/kinds/redirect?{urlencode({'to': INJECTED})}").status == 500
    assert kinds.send("POST", f"/v1/kinds/created?{urlencode({'name': f'/{INJECTED}'})}").status == 500
    response = kinds.send("POST", f"/v1/kinds/created?{urlencode({'name': INJECTED})}")
    assert response.headers[b"location"] == b"/v1/kinds/created/a%0D%0Aset-cookie%3A%20evil%3D1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", INJECTED),
        ("a", "x; Domain=evil.example"),
        ("a", "x,y"),
        ("a", 'x"y'),
        ("a", "\xe9"),
        ("a", "\u0661"),
        ("a=b", "x"),
        ("a\r\nb", "x"),
        ("", "x"),
    ],
)
def test_a_cookie_that_needs_encoding_is_refused(name: str, value: str) -> None:
    """Seen to fail: letters of other scripts were accepted, and the response with the cookie was a 500."""
    with pytest.raises(ValueError, match="invalid name, or a value that needs encoding"):
        Cookie(name, value, 60)


async def test_a_redirect_has_all_its_cookies(tmp_path: Path) -> None:
    """Breaks when cookies are fields of one mapping: only the last is sent."""
    async with running(app_of(settings_in(tmp_path), Kinds)) as client:
        answer = await client.get("/v1/kinds/cookies")
    assert (answer.status_code, answer.headers["location"]) == (303, "/next")
    assert answer.headers.get_list("set-cookie") == [
        "a=1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Strict",
        "b=2; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
    ]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("created?name=a", b"/v1/kinds/created/a"),
        ("created?name=a%20%E2%82%AC%3F", b"/v1/kinds/created/a%20%E2%82%AC%3F"),
        ("created?name=%2Fother", b"/other"),
        ("%C3%A9%3E/parts", b"/v1/kinds/%C3%A9%3E/parts/7"),
    ],
)
def test_a_created_resource_is_below_the_path_of_the_request(kinds: InProcess, path: str, location: bytes) -> None:
    """Seen to fail: an id or a path with other characters than ASCII was a 500."""
    response = kinds.send("POST", f"/v1/kinds/{path}")
    assert (response.status, response.headers[b"location"]) == (201, location)


def test_every_version_of_the_api_answers_its_own_locations(tmp_path: Path) -> None:
    """Breaks when the Location is written in the handler: v2 would answer addresses of v1."""
    app = Restwell(settings_in(tmp_path), name="kinds").app([Version("/v1", [Kinds]), Version("/v2", [Kinds])])
    with in_process(app) as server:
        for version in ("v1", "v2"):
            response = server.send("POST", f"/{version}/kinds/created?name=a")
            assert response.headers[b"location"] == f"/{version}/kinds/created/a".encode()
            assert response.headers[b"x-own"] == b"yes"


def test_an_accepted_request_names_its_job(kinds: InProcess) -> None:
    response = kinds.send("POST", "/v1/kinds/accepted")
    assert (response.status, response.headers[b"location"]) == (202, b"/v1/jobs/1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("downloads")
    (folder / "report.csv").write_bytes(CONTENT)

    class Downloads(Controller):
        path = "/downloads"

        @get("/report")
        async def report(self) -> Stream[bytes]:
            """A file of more than one chunk."""
            return download(folder / "report.csv", "text/csv")

        @get("/folder")
        async def no_file(self) -> Stream[bytes]:
            """A folder is no file."""
            return download(Path(folder), "text/csv")

        @get("/logo")
        async def logo(self) -> Response[bytes]:
            """A resource that never changes."""
            return immutable(b"logo", "image/webp")

    with serve_controllers(folder, Downloads) as started:
        yield started


def test_a_download_is_complete_and_not_stored(server: InProcess) -> None:
    """Breaks when only the first chunk is sent, and when the browser shows the file in place of saving it."""
    response = server.send("GET", "/v1/downloads/report")
    assert (response.status, response.body == CONTENT) == (200, True)
    assert response.headers[b"content-disposition"] == b'attachment; filename="report.csv"'
    assert response.headers[b"content-length"] == b"%d" % len(CONTENT)
    assert response.headers[b"content-type"].startswith(b"text/csv")
    assert response.headers[b"cache-control"] == b"no-store"


def test_a_download_that_is_no_file_is_not_found(server: InProcess) -> None:
    assert checked_status(server.send("GET", "/v1/downloads/folder")) == "404"


def test_an_immutable_resource_is_stored_for_a_year_and_may_be_embedded(server: InProcess) -> None:
    """Breaks when the default headers of the edge replace its own."""
    response = server.send("GET", "/v1/downloads/logo")
    assert (response.headers[b"content-type"], response.body) == (b"image/webp", b"logo")
    assert response.headers[b"cache-control"] == b"public, max-age=31536000, immutable"
    assert response.headers[b"cross-origin-resource-policy"] == b"cross-origin"


def test_the_representation_of_a_version_is_revalidated_before_each_use() -> None:
    """Breaks when a cache may use it without asking: its reader would send an old ETag."""
    response = with_etag(Note(1), 3, status=201, location=1)
    assert (response.headers, response.status_code) == ({"etag": '"3"', "cache-control": "no-cache"}, 201)
    assert response.location == "1"
    assert with_etag(Note(1), 3).location is None


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("all.json", 'attachment; filename="all.json"'),
        ('a".json', "attachment; filename*=UTF-8''a%22.json"),
        ("\u20ac\r\n.json", "attachment; filename*=UTF-8''%E2%82%AC%0D%0A.json"),
    ],
)
def test_the_name_of_a_download_is_encoded(name: str, disposition: str) -> None:
    """Breaks when the name is quoted as it is: a quote in it ends the parameter."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    assert stream_json(chunks(), name).headers == {"content-disposition": disposition}


def test_a_header_name_is_sent_in_lower_case() -> None:
    """Breaks when it is sent as it is: ASGI servers expect lower case, and the defaults of the edge would be added."""
    assert header_field("Cache-Control", "no-store") == (b"cache-control", b"no-store")
