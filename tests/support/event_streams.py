"""Event streams of an application in this process. httpx would wait for the end of the response."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from restwell import App
from restwell.edge._context import Message

WAIT_SECONDS: Final = 20


class EventStream:
    """``status``: of the response."""

    def __init__(self, sent: asyncio.Queue[Message]) -> None:
        self._sent = sent
        self.status = 0
        self.headers: dict[str, str] = {}

    async def start(self) -> None:
        message = await asyncio.wait_for(self._sent.get(), WAIT_SECONDS)
        self.status = message["status"]
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}

    async def read(self) -> str:
        """The next chunk; empty at the end."""
        message = await asyncio.wait_for(self._sent.get(), WAIT_SECONDS)
        return bytes(message.get("body", b"")).decode()

    async def event(self) -> Any:
        """The data of the next event, without comments; None if it is the last one."""
        async with asyncio.timeout(WAIT_SECONDS):
            while (chunk := await self.read()).startswith(":"):
                pass
        kind, data = chunk.removesuffix("\n\n").split("\n")
        assert (kind, data != "data:") in {("event: next", True), ("event: complete", False)}
        return json.loads(data.removeprefix("data: ")) if kind == "event: next" else None


@asynccontextmanager
async def subscribed(
    app: App,
    query: str | None = None,
    token: str = "",
    *,
    accept: str = "text/event-stream",
    document_id: str | None = None,
    **variables: Any,
) -> AsyncIterator[EventStream]:
    """Subscribe over GraphQL. At the end of the block the client disconnects, and the request has ended."""
    received: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Message] = asyncio.Queue()
    fields = {"host": "app.test", "content-type": "application/json", "accept": accept}
    fields |= {"authorization": f"Bearer {token}"} if token else {}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 1),
        "server": ("app.test", 80),
    }
    body = json.dumps({"query": query, "documentId": document_id, "variables": variables}).encode()
    received.put_nowait({"type": "http.request", "body": body, "more_body": False})
    request = asyncio.create_task(app(scope, received.get, sent.put))
    stream = EventStream(sent)
    try:
        await stream.start()
        yield stream
    finally:
        received.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(request, WAIT_SECONDS)
