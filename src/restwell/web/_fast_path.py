"""The fast path: handlers that use no optional feature of the framework are called directly, after its router.

For every request the framework copies handlers for their guards, wraps ``send`` and the error handling twice, converts
values again, and builds the response through two objects and a dozen options. That is a third of the cost of a read
(docs/performance.md). Other handlers, and requests that the router rejects, pass through the framework.
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

from restwell.edge._context import AsgiApp, Receive, Scope, Send, request_context
from restwell.edge._context import Response as EdgeResponse
from restwell.edge._problem import problem_response
from restwell.errors import NotFound
from restwell.web._guards import current_actor
from restwell.web._paths import path_pattern
from restwell.web._problems import to_app_error
from restwell.web._request import JSON, ApiRequest, decode_query, read_filters

_JSON_TYPES: Final = (Struct, list, dict)
_WITHOUT_BODY: Final = frozenset({204, 304})
_BODY: Final = "data"

ReadParameter = Callable[[ApiRequest], Any]
"""Reads the value of a parameter from the request."""


class FastPath:
    """The ASGI application in front of the framework. Guards must not modify their handler argument."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._framework = cast("AsgiApp", app)
        self._find = app.asgi_router.handle_routing
        self._fast_routes = {
            handler: fast_route
            for route in app.routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            if (fast_route := _fast_route(route, handler)) is not None
        }
        self._patterns = {
            route.path_format: path_pattern(route.path).fullmatch
            for route in app.routes
            if isinstance(route, HTTPRoute) and route.path_parameters
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            fast_route = self._route(scope) if scope["type"] == "http" else None
        except NotFound as error:
            await _send(problem_response(error, request_context(scope).request_id), send)
            return
        if fast_route is None:
            await self._framework(scope, receive, send)
            return
        request = ApiRequest(cast("Any", scope), cast("Any", receive), cast("Any", send))
        framework_response = None
        try:
            data = await fast_route.call(request)
            response = fast_route.response(data)
            if response is None:
                framework_response = await fast_route.handler.to_response(app=self._app, data=data, request=request)
        except Exception as error:  # noqa: BLE001  # every exception becomes a problem response
            response = problem_response(to_app_error(error, scope["path"]), request_context(scope).request_id)
        if response is not None:
            await _send(response, send)
        elif framework_response is not None:
            await framework_response(cast("Any", scope), cast("Any", receive), cast("Any", send))

    def _route(self, scope: Scope) -> "FastRoute | None":
        """Find the fast route and set the scope keys of the framework. None if the framework must handle the request.

        Raises NotFound for a path parameter that is not in its canonical form.
        """
        cached_handler = scope.get("route_handler")
        if cached_handler is not None:  # set by the edge, which loads a response for its cache
            scope["app"] = scope["litestar_app"] = self._app
            return self._fast_routes.get(cached_handler)
        path = scope["path"]
        try:
            _, handler, _, parameters, template = self._find(path=path, method=scope["method"])
        except HTTPException:
            return None
        pattern = self._patterns.get(template)
        if pattern is not None and pattern(path) is None:
            raise NotFound
        fast_route = self._fast_routes.get(cast("HTTPRouteHandler", handler))
        if fast_route is not None:
            scope["app"] = scope["litestar_app"] = self._app
            scope["route_handler"] = handler
            scope["path_params"] = parameters
            scope["path_template"] = template
            scope.setdefault("state", {})
        return fast_route


async def _send(response: EdgeResponse, send: Send) -> None:
    status, headers, body = response
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class FastRoute:
    """A handler with its guards, parameter readers and response encoder."""

    __slots__ = ("_encode", "_function", "_guards", "_has_body", "_parameters", "_status", "handler")

    def __init__(self, handler: HTTPRouteHandler, readers: dict[str, ReadParameter], *, has_body: bool) -> None:
        self.handler = handler
        self._guards: list[Any] = handler.resolve_guards()  # the framework has wrapped synchronous ones
        self._parameters = tuple(readers.items())
        self._has_body = has_body
        self._function = handler.fn
        self._status = handler.status_code
        self._encode = msgspec.json.Encoder(enc_hook=get_serializer(handler.resolve_type_encoders())).encode

    async def call(self, request: ApiRequest) -> Any:
        """Run the guards, read the parameters and call the handler."""
        handler = self.handler
        for guard in self._guards:
            await guard(request, handler)
        values = {name: read(request) for name, read in self._parameters}
        if self._has_body:
            values[_BODY] = await request.json()
        return await self._function(**values)

    def response(self, data: Any) -> EdgeResponse | None:
        """Encode the result. None if the framework must build the response."""
        content, status, headers = data, self._status, {}
        if type(data) is Response:
            if data.cookies or data.background or data.response_type_encoders or data.media_type not in {None, JSON}:
                return None
            content, status, headers = data.content, data.status_code or status, data.headers
        if status in _WITHOUT_BODY:
            return None
        if isinstance(content, _JSON_TYPES):
            body = self._encode(content)
        elif isinstance(content, bytes):
            body = content
        else:
            return None
        raw_headers = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
        raw_headers += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        return status, raw_headers, body


def _fast_route(route: HTTPRoute, handler: HTTPRouteHandler) -> FastRoute | None:
    """None for a handler that uses an optional feature of the framework."""
    features = (
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
    if any(features):
        return None
    parameters = dict(handler.parsed_fn_signature.parameters)
    body = parameters.pop(_BODY, None)
    readers = {name: _reader(route, handler, field) for name, field in parameters.items()}
    supported = {name: reader for name, reader in readers.items() if reader is not None}
    if len(supported) < len(readers):
        return None
    return FastRoute(handler, supported, has_body=body is not None)


def _reader(route: HTTPRoute, handler: HTTPRouteHandler, parameter: FieldDefinition) -> ReadParameter | None:
    """The reader of a parameter. None if the framework must read it."""
    name, kind, definition = parameter.name, parameter.annotation, parameter.kwarg_definition
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
    if isinstance(definition, HeaderParameter):
        header, default = (definition.name or name).lower(), parameter.default
        return lambda request: request.headers.get(header, default)
    return None
