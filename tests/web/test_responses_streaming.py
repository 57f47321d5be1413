"""A response that is streamed page by page holds no connection for a slow client, and is complete."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from controller_server import serve_controllers
from restwell.database import Migrations, open_database
from restwell.edge._context import Message
from restwell.edge._deadline import TICK_SECONDS
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Response, get, stream_json
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
            if not message["more_body"]:
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


class Slow(Controller):
    path = "/slow"

    @get("/read")
    async def read(self) -> Response[Any]:
        """Start late."""
        await asyncio.sleep(4 * TICK_SECONDS)
        return stream_json(self._pieces(), "all.json")

    async def _pieces(self) -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number
            await asyncio.sleep(0.01)


def test_a_stream_that_begins_late_is_delivered_whole(tmp_path: Path) -> None:
    """Breaks when the disconnect watcher of the edge cancels the one of the framework during the response."""
    with serve_controllers(tmp_path, Slow) as server:
        answer = server.send("GET", "/v1/slow/read")
    assert (answer.status, answer.body) == (200, b"01234")
