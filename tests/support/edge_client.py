"""Requests to the edge around a plain ASGI application, without a framework."""

from collections.abc import Mapping, Sequence

import httpx

from restwell.edge._access_log import AccessLog
from restwell.edge._context import AsgiApp, Hook, Message, Receive, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.edge._request_id import RequestId
from restwell.edge._security_headers import SecurityHeaders
from restwell.errors import PROBLEMS, ErrorFormat

HOOKS = (AccessLog(), RequestId(), SecurityHeaders())


async def hello(scope: Scope, _receive: Receive, send: Send) -> None:
    """Responds with the method, in five bytes."""
    scope["path_template"] = "/{anything}"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["method"].encode().ljust(5)})


async def send_request(edge: AsgiApp, scope: Scope, *messages: Message) -> list[Message]:
    """Send a request with these messages of its body. Return the messages of the response as they are sent."""
    waiting = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await edge(scope, receive, send)
    return sent


def scope_of(method: str, path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"app.test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


async def request(
    app: AsgiApp = hello,
    method: str = "GET",
    path: str = "/some/path?token=hunter2",
    hooks: Sequence[Hook] = HOOKS,
    headers: Mapping[str, str] | None = None,
    errors: ErrorFormat = PROBLEMS,
) -> httpx.Response:
    """Send a request through the hooks."""
    transport = httpx.ASGITransport(Edge(app, hooks, errors))
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
        return await client.request(method, path, headers=headers)
