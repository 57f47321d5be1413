"""Litestar beside the routes of the kit, for WebSockets, server-sent events, plugins and middleware.

The only module that knows the framework. Needs the extra ``litestar``, Litestar 2 or 3.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from restwell._extras import needs_extra
from restwell._host import Hosted
from restwell.edge._context import SCOPE_KEY, AsgiApp, Message, Receive, RequestContext, Scope, Send, request_context
from restwell.edge._problem import error_response
from restwell.errors import (
    AppError,
    BodyTooLarge,
    ErrorFormat,
    FieldError,
    Forbidden,
    Invalid,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    UnsupportedMediaType,
)
from restwell.web._dispatch import expected_error

__all__ = ["LitestarHost"]

with needs_extra("litestar", __name__):
    from litestar import Litestar, Request, Response, route
    from litestar.config.app import AppConfig
    from litestar.exceptions import HTTPException, ValidationException
    from litestar.routes import HTTPRoute

_PATH: Final = "/.restwell"
"""Where Litestar finds the routes of the kit: one path, because its router changes those of mounted applications."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

_FOR_OWN_HANDLERS: Final = frozenset(
    {
        "debug",
        "dependencies",
        "dto",
        "exception_handlers",
        "include_in_schema",
        "lifespan",
        "listeners",
        "logging_config",
        "multipart_form_part_limit",
        "on_shutdown",
        "on_startup",
        "openapi_config",
        "opt",
        "parameters",
        "request_class",
        "request_max_body_size",
        "response_cache_config",
        "response_class",
        "return_dto",
        "security",
        "signature_namespace",
        "signature_types",
        "state",
        "stores",
        "tags",
        "template_config",
        "type_decoders",
        "type_encoders",
    }
)
"""Options that the routes of the kit do not need, so that they are called directly."""

_REFUSED: Final = frozenset(
    {
        "after_request",
        "cache_control",
        "etag",
        "path",
        "response_cookies",
        "response_headers",
    }
)
"""Options that one expects to apply to every route, and that cannot apply to those of the kit."""

_ERRORS_BY_STATUS: Final[dict[int, type[AppError]]] = {
    error.status: error
    for error in (
        MalformedRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        BodyTooLarge,
        UnsupportedMediaType,
        Invalid,
    )
}


class LitestarHost:
    """Pass it to ``kit.app(..., host=LitestarHost([handler, ...]))``.

    ``handlers``: route handlers, controllers and routers of Litestar. ``options``: arguments of ``Litestar``, such as
    ``middleware`` and ``plugins``. With an option that applies to every route, the routes of the kit are called through
    Litestar too: ``reason`` names it.

    Raises TypeError for an option that would apply to the handlers of Litestar only, such as ``after_request``.
    """

    def __init__(self, handlers: Sequence[Any] = (), **options: Any) -> None:
        refused = sorted(options.keys() & _REFUSED)
        if refused:
            raise TypeError(
                f"LitestarHost({refused[0]}=...) would not apply to the routes of the kit: set it on a litestar.Router"
                " around your handlers, or use middleware"
            )
        self._handlers = handlers
        self._options = options
        effective = sorted(options.keys() - _FOR_OWN_HANDLERS)
        self.reason = f"Litestar's {' and '.join(effective)}" if effective else None

    def application(self, routes: AsgiApp, errors: ErrorFormat) -> Hosted:
        """Litestar, with the routes of the kit."""

        # A handler and no mounted application: middleware can then use Litestar's Request.
        @route(_PATH, http_method=_METHODS, status_code=200, include_in_schema=False, dto=None, return_dto=None)
        async def kit() -> _Routes:
            return _Routes(routes)

        def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
            expected = to_app_error(error, request.scope["path"])
            context = request_context(cast("Scope", request.scope))
            status, _, body = error_response(expected, context.request_id, errors)
            return Response(body, status_code=status, media_type=errors.media_type, headers=dict(expected.headers))

        def configure(config: AppConfig) -> AppConfig:
            config.middleware = [_restore_path, *config.middleware]
            if hasattr(config, "logging_config") and "logging_config" not in self._options:
                config.logging_config = None  # Litestar 2 would configure the logging of the process
            return config

        options = {"openapi_config": None, **self._options}
        options["exception_handlers"] = {Exception: respond, **options.get("exception_handlers", {})}
        options["on_app_init"] = [configure, *options.get("on_app_init", ())]
        litestar = cast("AsgiApp", Litestar([*self._handlers, kit], **options))

        async def host(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await litestar(scope, receive, send)
                return
            own = dict(scope)  # Litestar changes the path
            is_of_kit = request_context(scope).route is not None
            if is_of_kit:
                own["path"], receive = _PATH, _Body(receive)
            try:
                await litestar(own, receive, send)
            finally:
                template = own.get("path_template")
                if template is not None and not is_of_kit and template != _PATH:
                    scope["path_template"] = template  # for the access log

        routes_of_host = cast("Litestar", litestar).routes
        return Hosted(host, [each.path for each in routes_of_host if isinstance(each, HTTPRoute)])


class _Routes:
    """The response of the one handler: the routes of the kit. Litestar calls a response that is an ASGI application."""

    def __init__(self, routes: AsgiApp) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routes(scope, receive.again if isinstance(receive, _Body) else receive, send)


class _Body:
    """The ``receive`` of middleware, which keeps what is read, for the route."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []

    async def __call__(self) -> Message:
        message = await self._receive()
        self._read.append(message)
        return message

    async def again(self) -> Message:
        return self._read.pop(0) if self._read else await self._receive()


def _restore_path(app: Any) -> Any:
    """Middleware, the outermost: the other middleware sees a route of the kit as that of a handler of Litestar."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        context: RequestContext | None = scope.get(SCOPE_KEY)
        if context is not None and context.route is not None:
            scope["path"] = context.scope["path"]
            scope["path_params"] = dict(context.path_parameters)
            scope["path_template"] = context.route.path
        await app(scope, receive, send)

    return call


def to_app_error(error: Exception, path: str) -> AppError:
    """Return an AppError as it is, and the matching AppError for an exception of Litestar.

    Any other exception is logged with its traceback. Its details are not sent to the client.
    """
    if isinstance(error, ValidationException):
        return Invalid(errors=[_field_error(fault) for fault in error.extra or ()])
    kind = _kind_of(error.status_code) if isinstance(error, HTTPException) else None
    if kind is None:
        return expected_error(error, path)
    detail = getattr(error, "detail", "")
    is_own = detail and detail != HTTPStatus(kind.status).phrase
    found = kind(detail if is_own else None)
    found.headers |= {name.lower(): value for name, value in (getattr(error, "headers", None) or {}).items()}
    return found


def _kind_of(status: int) -> type[AppError] | None:
    """The error of this status; None for 500, and for a status that HTTP does not define."""
    if status in _ERRORS_BY_STATUS:
        return _ERRORS_BY_STATUS[status]
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        return None
    if status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    code = "_".join(re.findall("[a-z]+", phrase.lower()))
    return type("HostedError", (AppError,), {"code": code, "status": status, "message": f"{phrase}."})


def _field_error(fault: Any) -> FieldError:
    return FieldError(str(fault.get("key", "$")), str(fault.get("message", "invalid")))
