"""A response that is streamed page by page holds no connection for a slow client, and is complete."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from restwell.database import Migrations, open_database
from restwell.edge._context import Message
from restwell.edge._deadline import TICK_SECONDS
from restwell.errors import NotFound
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Stream, get, stream_json
from tiny.app import MIGRATIONS, add_note, create_app

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/v1/notes/stream",
    "raw_path": b"/v1/notes/stream",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"host", b"app.test")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_slow_reader_of_a_stream_holds_no_connection(empty_url: str, backend: str) -> None:
    """Breaks when the stream reads inside a transaction: it then holds the only connection for a slow client."""
    assert backend in empty_url
    async with open_database(empty_url) as database:
        await Migrations(MIGRATIONS).upgrade(database)
        for number in range(6):
            await database.run(add_note, text=f"note {number}")
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(empty_url), pool_size=1),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )
    app = create_app(settings)
    parts: list[bytes] = []
    may_read = asyncio.Event()

    inbox: asyncio.Queue[Message] = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send_slowly(message: Message) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])
            await may_read.wait()
            if not message.get("more_body", False):
                inbox.put_nowait({"type": "http.disconnect"})

    async with running(app) as client:
        reading = asyncio.create_task(app(dict(SCOPE), inbox.get, send_slowly))
        while not parts:
            await asyncio.sleep(0.01)
        answer = await client.get("/v1/notes")
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 6
        may_read.set()
        await reading
    assert b"".join(parts).decode().splitlines() == [f"note {number}" for number in range(6)]


class Streams(Controller):
    path = "/streams"

    @get("/late")
    async def read_late(self) -> Stream[Any]:
        """Start late."""
        await asyncio.sleep(4 * TICK_SECONDS)
        return stream_json(_chunks("late"), "all.json")

    @get("/endless")
    async def read_forever(self) -> Stream[bytes]:
        """Never end."""
        return Stream(open=lambda: _chunks("endless", count=1_000_000), media_type="text/plain")

    @get("/broken")
    async def read_broken(self) -> Stream[bytes]:
        """Break after two chunks."""
        return Stream(open=lambda: _chunks("broken", broken=True), media_type="text/plain")

    @get("/unopened")
    async def read_unopened(self) -> Stream[bytes]:
        """Break before the first chunk."""

        def fail() -> AsyncIterator[bytes]:
            raise NotFound

        return Stream(open=fail, media_type="text/plain")


closed: list[str] = []


async def _chunks(name: str, *, count: int = 5, broken: bool = False) -> AsyncIterator[bytes]:
    try:
        for number in range(count):
            if broken and number == 2:
                raise ValueError(name)
            yield b"%d" % number
            await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0)
        closed.append(name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InProcess]:
    closed.clear()
    with serve_controllers(tmp_path, Streams) as started:
        yield started


@pytest.mark.slow
def test_a_stream_that_begins_late_is_delivered_whole(server: InProcess) -> None:
    """Breaks when the disconnect watcher of the edge cancels the one of the framework during the response."""
    answer = server.send("GET", "/v1/streams/late")
    assert (answer.status, answer.body, closed) == (200, b"01234", ["late"])


def test_head_does_not_read_a_stream(server: InProcess) -> None:
    """Breaks when the chunks are read and discarded: HEAD of an endless stream never ends."""
    answer = server.send("HEAD", "/v1/streams/endless")
    assert (answer.status, answer.body, answer.headers[b"content-type"]) == (200, b"", b"text/plain")
    assert closed == []


def test_a_stream_that_breaks_ends_the_response_without_its_last_chunk(server: InProcess) -> None:
    """Breaks when the response is completed: the client takes a part for the whole."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ValueError, match="broken"):
        server.run(server.app(_scope("/v1/streams/broken"), _never, send))
    assert [message.get("body") for message in sent] == [None, b"0", b"1"]
    assert sent[-1]["more_body"]
    assert closed == ["broken"]


def test_a_stream_that_does_not_open_is_an_error_response(server: InProcess) -> None:
    """Breaks when the response starts before: the error could not be sent."""
    assert checked_status(server.send("GET", "/v1/streams/unopened")) == "404"


@pytest.mark.parametrize("failure", [OSError, asyncio.CancelledError])
def test_the_generator_of_a_stream_is_closed_when_the_client_disconnects(
    server: InProcess, failure: type[BaseException]
) -> None:
    """Seen to fail: it stayed open, with what it holds, until the garbage collector closed it."""

    async def send(message: Message) -> None:
        if message.get("body"):
            raise failure

    async def read() -> bool:
        with suppress(failure):
            await server.app(_scope("/v1/streams/endless"), _never, send)
        return closed == ["endless"]

    assert server.run(read())


def _scope(path: str) -> dict[str, Any]:
    return {**SCOPE, "path": path, "raw_path": path.encode()}


async def _never() -> Message:
    await asyncio.sleep(60)
    return {"type": "http.disconnect"}
