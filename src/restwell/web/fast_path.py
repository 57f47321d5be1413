"""Plain routes without the framework's layers: its router says which handler, and that one is called directly.

For every request the framework copies handlers for their guards, wraps ``send`` and the error handling twice, converts values that are
what they should be already, and builds an answer through two objects and a dozen options, which our routes do not use: a third of what
a read cost (docs/performance.md). What is not plain goes the framework's own way, and so does whatever it would refuse.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from litestar import Litestar, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute
from litestar.serialization import get_serializer
from litestar.typing import FieldDefinition
from msgspec import Struct

from restwell.edge.context import AsgiApp, Receive, Scope, Send, request_context
from restwell.edge.context import Response as EdgeResponse
from restwell.edge.problem import problem_response
from restwell.errors import NotFound
from restwell.web.guards import current_actor
from restwell.web.paths import path_pattern
from restwell.web.problems import app_error_for
from restwell.web.request import JSON, ApiRequest, decode_query, read_filters

_PLAIN: Final = (Struct, list, dict)
_WITHOUT_BODY: Final = frozenset({204, 304})
_BODY: Final = "data"

Read = Callable[[ApiRequest], Any]
"""Gives the value of a parameter."""


class FastPath:
    """The application in front of the framework. Guards must not change the handler that they are given."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._framework = cast("AsgiApp", app)
        self._find = app.asgi_router.handle_routing
        self._plain = {
            handler: plain
            for route in app.routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            if (plain := _plain(route, handler)) is not None
        }
        self._patterns = {
            route.path_format: path_pattern(route.path).fullmatch
            for route in app.routes
            if isinstance(route, HTTPRoute) and route.path_parameters
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            plain = self._route(scope) if scope["type"] == "http" else None
        except NotFound as error:
            await _send(problem_response(error, request_context(scope).request_id), send)
            return
        if plain is None:
            await self._framework(scope, receive, send)
            return
        request = ApiRequest(cast("Any", scope), cast("Any", receive), cast("Any", send))
        otherwise = None
        try:
            data = await plain.call(request)
            reply = plain.reply(data)
            if reply is None:
                otherwise = await plain.handler.to_response(app=self._app, data=data, request=request)
        except Exception as error:  # noqa: BLE001  # each has its answer
            reply = problem_response(app_error_for(error, scope["path"]), request_context(scope).request_id)
        if reply is not None:
            await _send(reply, send)
        elif otherwise is not None:
            await otherwise(cast("Any", scope), cast("Any", receive), cast("Any", send))

    def _route(self, scope: Scope) -> "_Plain | None":
        """What answers it, if that is plain; the scope has then what the framework puts there. Raises NotFound for a parameter of the path
        that is written otherwise than we write it.
        """
        found = scope.get("route_handler")
        if found is not None:  # the edge knows it, for it asks on everyone's behalf
            scope["app"] = scope["litestar_app"] = self._app
            return self._plain.get(found)
        path = scope["path"]
        try:
            _, handler, _, parameters, template = self._find(path=path, method=scope["method"])
        except HTTPException:
            return None
        pattern = self._patterns.get(template)
        if pattern is not None and pattern(path) is None:
            raise NotFound
        plain = self._plain.get(cast("HTTPRouteHandler", handler))
        if plain is not None:
            scope["app"] = scope["litestar_app"] = self._app
            scope["route_handler"] = handler
            scope["path_params"] = parameters
            scope["path_template"] = template
            scope.setdefault("state", {})
        return plain


async def _send(reply: EdgeResponse, send: Send) -> None:
    status, headers, body = reply
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Plain:
    """A handler, how its parameters are read, and how its answer is written."""

    __slots__ = ("_encode", "_function", "_guards", "_has_body", "_reads", "_status", "handler")

    def __init__(self, handler: HTTPRouteHandler, reads: dict[str, Read], *, has_body: bool) -> None:
        self.handler = handler
        self._guards: list[Any] = handler.resolve_guards()  # the framework has made all of them asynchronous
        self._reads = tuple(reads.items())
        self._has_body = has_body
        self._function = handler.fn
        self._status = handler.status_code
        self._encode = msgspec.json.Encoder(enc_hook=get_serializer(handler.resolve_type_encoders())).encode

    async def call(self, request: ApiRequest) -> Any:
        handler = self.handler
        for guard in self._guards:
            await guard(request, handler)
        values = {name: read(request) for name, read in self._reads}
        if self._has_body:
            values[_BODY] = await request.json()
        return await self._function(**values)

    def reply(self, data: Any) -> EdgeResponse | None:
        """What is sent; None for what the framework must write."""
        content, status, headers = data, self._status, {}
        if type(data) is Response:
            if data.cookies or data.background or data.response_type_encoders or data.media_type not in {None, JSON}:
                return None
            content, status, headers = data.content, data.status_code or status, data.headers
        if status in _WITHOUT_BODY:
            return None
        if isinstance(content, _PLAIN):
            body = self._encode(content)
        elif isinstance(content, bytes):
            body = content
        else:
            return None
        written = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
        written += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        return status, written, body


def _plain(route: HTTPRoute, handler: HTTPRouteHandler) -> _Plain | None:
    """None for a handler that asks for more of the framework than is done here."""
    asked = (
        handler.has_sync_callable,
        handler.background,
        handler.cache,
        handler.resolve_before_request(),
        handler.resolve_after_response(),
        handler.resolve_middleware(),
        handler.resolve_return_dto(),
        handler.resolve_response_headers(),
        handler.resolve_response_cookies(),
        handler.resolve_exception_handlers() != handler.app.exception_handlers,
        *(layer.after_request for layer in handler.ownership_layers),
        handler.resolve_response_class() is not Response,
        handler.resolve_request_class() is not ApiRequest,
        handler.media_type not in {"", JSON},
    )
    if any(asked):
        return None
    parameters = dict(handler.parsed_fn_signature.parameters)
    body = parameters.pop(_BODY, None)
    reads = {name: _read(route, handler, one) for name, one in parameters.items()}
    known = {name: read for name, read in reads.items() if read is not None}
    if len(known) < len(reads):
        return None
    return _Plain(handler, known, has_body=body is not None)


def _read(route: HTTPRoute, handler: HTTPRouteHandler, parameter: FieldDefinition) -> Read | None:
    """How the parameter is read; None where the framework must."""
    name, kind, given = parameter.name, parameter.annotation, parameter.kwarg_definition
    dependency = handler.resolve_dependencies().get(name)
    if dependency is not None:
        if dependency.dependency is current_actor:
            return current_actor
        return (
            (lambda request: decode_query(request.scope["query_string"], kind))
            if dependency.dependency is read_filters
            else None
        )
    if name in route.path_parameters:
        return lambda request: request.path_params[name]
    if name == "request":
        return lambda request: request
    if isinstance(given, HeaderParameter):
        header, default = (given.name or name).lower(), parameter.default
        return lambda request: request.headers.get(header, default)
    return None
