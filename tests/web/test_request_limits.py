"""The size of a body is limited: by its Content-Length before it is read, and while it arrives."""

from collections.abc import AsyncIterator

import httpx
import pytest
from msgspec import Struct

from api_client import assert_problem
from restwell.settings import RequestSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Request, Upload, post
from tiny.app import app_of

DEFAULT, SMALL = 1_024, 10
read: list[int] = []


class Form(Struct, frozen=True):
    text: str


class Bodies(Controller):
    path = "/bodies"

    @post("/usual", status_code=200)
    async def usual(self, data: list[int]) -> int:
        """The limit of the settings."""
        return len(data)

    @post("/small", status_code=200, max_body_bytes=SMALL)
    async def small(self, data: list[int]) -> int:
        """A limit of its own."""
        return len(data)

    @post("/large", status_code=200, max_body_bytes=3 * DEFAULT)
    async def large(self, data: list[int]) -> int:
        """A limit of its own, above that of the settings."""
        return len(data)

    @post("/form", status_code=200, max_body_bytes=SMALL)
    async def form(self, form: Form) -> int:
        """A form."""
        return len(form.text)

    @post("/upload", status_code=200, max_body_bytes=2 * DEFAULT)
    async def upload(self, file: Upload) -> str:
        """A file."""
        return type(file).__name__

    @post("/raw", status_code=200, max_body_bytes=SMALL)
    async def raw(self, request: Request) -> list[int]:
        """A body that the handler reads, twice."""
        return [len(await request.body()), len(await request.body())]


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    read.clear()
    settings = tiny_settings.model_copy(update={"request": RequestSettings(max_bytes=DEFAULT)})
    async with running(app_of(settings, Bodies)) as client:
        yield client


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A list of ones, of this size, in chunks."""
    body = b"[1" + b",1" * ((size - 3) // 2) + b" " * ((size - 3) % 2) + b"]"
    assert len(body) == size
    for start in range(0, size, 7):
        read.append(start)
        yield body[start : start + 7]


async def send(client: httpx.AsyncClient, path: str, size: int, *, with_length: bool) -> httpx.Response:
    headers = {"content-type": "application/json", **({"content-length": str(size)} if with_length else {})}
    return await client.post(f"/v1/bodies/{path}", content=chunks(size), headers=headers)


@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize(
    ("path", "limit"), [("usual", DEFAULT), ("small", SMALL), ("large", 3 * DEFAULT), ("raw", SMALL)]
)
async def test_a_body_up_to_the_limit_of_its_route_is_read(
    client: httpx.AsyncClient, path: str, limit: int, *, with_length: bool
) -> None:
    """Breaks when a body that is streamed has no limit, and when the limit is not that of the route."""
    assert (await send(client, path, limit, with_length=with_length)).status_code == 200
    read.clear()
    assert_problem(await send(client, path, limit + 1, with_length=with_length), 413, "body_too_large")
    assert len(read) <= (0 if with_length else limit // 7 + 2), "the rest is not read"


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [
        ("11", 413, "body_too_large"),
        ("9" * 5_000, 413, "body_too_large"),
        ("-1", 400, "malformed_request"),
        ("ten", 400, "malformed_request"),
        ("1e1", 400, "malformed_request"),
        ("+1", 400, "malformed_request"),
        ("", 400, "malformed_request"),
    ],
)
async def test_the_content_length_is_a_number_below_the_limit(
    client: httpx.AsyncClient, length: str, status: int, code: str
) -> None:
    """Breaks with ``int``, which is slow for thousands of digits, and accepts signs and spaces."""
    headers = {"content-type": "application/json", "content-length": length}
    assert_problem(await client.post("/v1/bodies/small", content=chunks(5), headers=headers), status, code)
    assert not read


async def test_forms_and_uploads_have_the_limit_of_their_route(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/bodies/form", data={"text": "abc"})).json() == 3
    assert_problem(await client.post("/v1/bodies/form", data={"text": "x" * SMALL}), 413, "body_too_large")
    for size, status in ((DEFAULT + 500, 200), (2 * DEFAULT, 413)):
        answer = await client.post("/v1/bodies/upload", files={"file": b"x" * size})
        assert (size, answer.status_code) == (size, status)


async def test_a_handler_may_read_the_body_twice(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/bodies/raw", content=b"12345")).json() == [5, 5]


@pytest.mark.parametrize("path", ["usual", "form", "upload", "raw"])
async def test_a_compressed_body_is_refused_before_it_is_read(client: httpx.AsyncClient, path: str) -> None:
    """Breaks when one way to read a body does not check: a small compressed body can have any size."""
    types = {"form": "application/x-www-form-urlencoded", "upload": "multipart/form-data; boundary=x"}
    headers = {"content-type": types.get(path, "application/json"), "content-encoding": "gzip"}
    answer = await client.post(f"/v1/bodies/{path}", content=chunks(5), headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "identity"
    assert not read
