"""What the framework would do again for every request, done once for each route.

It copies a handler for every guard that it asks, and builds an answer through two objects and a dozen options, which our routes do not
use. Both were a seventh of what a read cost (docs/performance.md). What is not plain goes the framework's own way.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, delete, get, patch, post, put
from litestar.connection import ASGIConnection, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.serialization import get_serializer
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from restwell.edge.exchange import Headers
from restwell.web.request import JSON

_DECORATORS: Final = (delete, get, patch, post, put)
_PLAIN: Final = (Struct, list, dict)
_WITHOUT_BODY: Final = frozenset({204, 304})


def make_lean(app: Litestar) -> None:
    """Have each route ask its guards and build its answers directly. Guards must not change the handler that they are given."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if isinstance(handler, _DECORATORS):
                handler.authorize_connection = _asking(handler)  # type: ignore[method-assign]  # of this handler alone
                if _is_plain(handler):
                    handler.to_response = _answering(handler)  # type: ignore[method-assign]  # as above


class _Ready:
    """An answer in bytes."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self._status = status
        self._headers = headers
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        start: Any = {"type": "http.response.start", "status": self._status, "headers": self._headers}
        end: Any = {"type": "http.response.body", "body": self._body}
        await send(start)
        await send(end)


def _asking(handler: HTTPRouteHandler) -> Callable[..., Coroutine[Any, Any, None]]:
    guards = handler.resolve_guards()

    async def authorize_connection(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        for guard in guards:
            await guard(connection, handler)  # type: ignore[misc]  # the framework has made all of them asynchronous

    return authorize_connection


def _is_plain(handler: HTTPRouteHandler) -> bool:
    given = (
        handler.background,
        handler.resolve_return_dto(),
        handler.resolve_response_headers(),
        handler.resolve_response_cookies(),
        *(layer.after_request for layer in handler.ownership_layers),
    )
    return not any(given) and handler.resolve_response_class() is Response and handler.media_type in {"", JSON}


def _answering(handler: HTTPRouteHandler) -> Callable[..., Coroutine[Any, Any, ASGIApp]]:
    otherwise = handler.to_response
    usual = handler.status_code
    encode = msgspec.json.Encoder(enc_hook=get_serializer(handler.resolve_type_encoders())).encode

    async def to_response(app: Litestar, data: Any, request: Request[Any, Any, Any]) -> ASGIApp:
        content, status, headers = data, usual, {}
        if type(data) is Response:
            if data.cookies or data.background or data.response_type_encoders or data.media_type not in {None, JSON}:
                return await otherwise(app=app, data=data, request=request)
            content, status, headers = data.content, data.status_code or usual, data.headers
        if status in _WITHOUT_BODY:
            return await otherwise(app=app, data=data, request=request)
        if isinstance(content, _PLAIN):
            body = encode(content)
        elif isinstance(content, bytes):
            body = content
        else:
            return await otherwise(app=app, data=data, request=request)
        written = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
        written += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        return _Ready(status, written, body)

    return to_response
