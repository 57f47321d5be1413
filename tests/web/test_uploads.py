"""A malformed file upload is a problem that describes the fault (RFC 7578)."""

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess, Response, checked_status
from restwell.web import Controller, Upload, post

MULTIPART = b"multipart/form-data; boundary=x"
GOOD = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'


class Taken(Struct, frozen=True):
    name: str
    size: int
    media_type: str


class Uploads(Controller):
    path = "/uploads"

    @post()
    async def take(self, upload: Upload) -> Taken:
        """A file."""
        return Taken(upload.filename, len(upload.content), upload.media_type)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("uploads"), Uploads) as started:
        yield started


def upload(server: InProcess, body: bytes, content_type: bytes = MULTIPART) -> Response:
    return server.send("POST", "/v1/uploads", [(b"content-type", content_type)], body)


def part(disposition: str, *headers: str, content: bytes = b"hello") -> bytes:
    head = "\r\n".join([f"content-disposition: {disposition}", *headers]).encode()
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("body", "name", "media_type"),
    [
        (GOOD, "a.txt", "text/plain"),
        (
            part('form-data; name="file"; filename="\xe4 b.webp"', "content-type: image/webp; charset=no-such"),
            "\xe4 b.webp",
            "image/webp",
        ),
        (part("form-data; name=file; filename=a.txt", "content-transfer-encoding: binary"), "a.txt", "text/plain"),
        (b"before\r\n" + GOOD + b"after", "a.txt", "text/plain"),
    ],
)
def test_a_valid_file_upload_is_accepted(server: InProcess, body: bytes, name: str, media_type: str) -> None:
    response = upload(server, body)
    taken = {"name": name, "size": 5, "media_type": media_type}
    assert (response.status, msgspec.json.decode(response.body)) == (201, taken)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(part("form-data; name=file; filename*=utf-8''a.txt"), 422, "filename", id="filename*"),
        pytest.param(
            part("form-data; name=file; filename*=no-such''%ff", content=b"\xff"), 422, "filename", id="its charset"
        ),
        pytest.param(part("form-data; name=file"), 422, "filename", id="no filename"),
        pytest.param(part('form-data; name="file"; filename=""'), 422, "filename", id="empty filename"),
        pytest.param(
            part("form-data; name=file", "content-type: text/plain; charset=no-such"), 422, "file", id="part charset"
        ),
        pytest.param(part("form-data; name=file", content=b"\xff\xfe"), 422, "file", id="bad byte in a text"),
        pytest.param(part("form-data; filename=a.txt"), 422, "file", id="no name"),
        pytest.param(part('form-data; name="other"; filename="a"'), 422, "file", id="another name"),
        pytest.param(part("attachment; name=file; filename=a"), 400, "form-data", id="no form-data"),
        pytest.param(
            part("form-data; name=\xff").replace("\xff".encode(), b"\xff"), 400, "header", id="bad byte in a name"
        ),
        pytest.param(b"--x\r\n\r\nhello\r\n--x--\r\n", 400, "Content-Disposition", id="no header"),
        pytest.param(b"--x\r\nno header\r\n\r\nhello\r\n--x--\r\n", 400, "header", id="malformed header"),
        pytest.param(part("form-data; name=file; filename=a; x=" + "y" * 60_000), 400, "length", id="long header"),
        pytest.param(part("form-data; name=file; filename=a", *["x-y: z"] * 20), 400, "count", id="many headers"),
        pytest.param(
            part("form-data; name=file; filename=a", "content-length: " + "9" * 4_000), 400, "ength", id="its length"
        ),
        pytest.param(
            part("form-data; name=file; filename=a", "content-transfer-encoding: base64"), 422, "Transfer", id="base64"
        ),
        pytest.param(GOOD[:-4], 400, "end", id="truncated at the end"),
        pytest.param(GOOD[:60], 400, "end", id="truncated header"),
        pytest.param(b"", 400, "end", id="empty"),
        pytest.param(b"--y" * 20_000, 400, "end", id="another boundary"),
        pytest.param(b"--x--\r\n", 422, "file", id="no part"),
        pytest.param(GOOD.replace(b"--x--\r\n", b"") + GOOD, 422, "exactly one part", id="two parts"),
        pytest.param(
            (b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n") * 99, 400, "count", id="many parts"
        ),
        pytest.param(GOOD.replace(b"\r\n", b"\n"), 400, "line break", id="bare line feeds"),
    ],
)
def test_an_invalid_form_gets_a_problem_that_says_why(
    server: InProcess, body: bytes, status: int, message: str
) -> None:
    """Breaks with the form parser of the framework: `filename*`, an unknown charset and an invalid byte are 500s."""
    response = upload(server, body)
    assert (checked_status(response), message in response.body.decode()) == (str(status), True), response.body


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"multipart/form-data", 400),
        (b"multipart/form-data; boundary=", 400),
        (b'multipart/form-data; boundary=""', 400),
        (b"multipart/form-data; boundary=" + b"x" * 71, 400),
        (b"multipart/form-data; boundary=" + b"x" * 30_000, 400),
        (b'multipart/form-data; boundary="\xff"', 400),
        (b'multipart/form-data; boundary="a\\"', 400),
        (b"multipart/form-data; charset=no-such; boundary=y", 400),
        (b"multipart/mixed; boundary=x", 415),
        (b"application/json", 415),
        (b"", 415),
    ],
)
def test_a_missing_or_overlong_boundary_is_refused(server: InProcess, content_type: bytes, status: int) -> None:
    """Breaks when the boundary is not checked: the parser raises undocumented exceptions."""
    assert checked_status(upload(server, GOOD, content_type)) == str(status)


@pytest.mark.parametrize("boundary", ["x\ty", "\xff", "x\x01"])
def test_a_boundary_of_other_characters_is_refused(server: InProcess, boundary: str) -> None:
    """Breaks when the parser alone decides: it accepts what no client may send (RFC 2046 5.1.1)."""
    content_type = f'multipart/form-data; boundary="{boundary}"'.encode("latin-1")
    response = upload(server, GOOD.replace(b"--x", f"--{boundary}".encode()), content_type)
    assert (checked_status(response), b"boundary" in response.body) == ("400", True)


def test_a_nested_multipart_is_the_content_of_its_part(server: InProcess) -> None:
    inner = GOOD.replace(b"--x", b"--y")
    body = part("form-data; name=file; filename=a", "content-type: multipart/mixed; boundary=y", content=inner)
    response = upload(server, body)
    assert msgspec.json.decode(response.body) == {"name": "a", "size": len(inner), "media_type": "multipart/mixed"}
