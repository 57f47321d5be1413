"""A WebSocket client of an application in process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from restwell.edge._context import AsgiApp, Message


class WebSocket:
    """The messages of the client, and those that the application has sent."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[Message] = asyncio.Queue()
        self.from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, text: str) -> None:
        await self.to_app.put({"type": "websocket.receive", "text": text})

    async def receive(self) -> Message:
        return await asyncio.wait_for(self.from_app.get(), 5)


@asynccontextmanager
async def websocket(app: AsgiApp, path: str) -> AsyncIterator[WebSocket]:
    """Connect, as a server would, and disconnect at the end."""
    client = WebSocket()
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"app.test")],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("app.test", 80),
        "state": {},
    }
    await client.to_app.put({"type": "websocket.connect"})
    running = asyncio.create_task(app(scope, client.to_app.get, client.from_app.put))
    try:
        yield client
    finally:
        await client.to_app.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(running, 5)
