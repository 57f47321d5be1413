"""Litestar beside the routes of the kit, for WebSockets, server-sent events, plugins and middleware.

The only module that knows the framework. Needs the extra ``litestar``, Litestar 2 or 3.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import structlog

from restwell._extras import needs_extra
from restwell.edge._context import AsgiApp, Scope, request_context
from restwell.errors import (
    PROBLEMS,
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

__all__ = ["LitestarHost"]

with needs_extra("litestar", __name__):
    from litestar import Litestar, Request, Response, asgi
    from litestar.config.app import AppConfig
    from litestar.exceptions import HTTPException, ValidationException

log = structlog.get_logger("restwell.litestar")

_WITHOUT_EFFECT_ON_ROUTES: Final = frozenset(
    {
        "debug",
        "dependencies",
        "lifespan",
        "listeners",
        "on_shutdown",
        "on_startup",
        "state",
        "stores",
        "template_config",
    }
)
"""Options that the routes of the kit do not notice, so that they are called directly."""

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

    ``handlers``: route handlers of Litestar. ``options``: arguments of ``Litestar``, such as ``middleware`` and
    ``plugins``. With an option that may apply to every route, also the routes of the kit are called through Litestar.
    """

    def __init__(self, handlers: Sequence[Any] = (), *, errors: ErrorFormat = PROBLEMS, **options: Any) -> None:
        self._handlers = handlers
        self._errors = errors
        self._options = options
        effective = sorted(options.keys() - _WITHOUT_EFFECT_ON_ROUTES)
        self.reason = f"Litestar {' and '.join(effective)}" if effective else None

    def application(self, routes: AsgiApp) -> AsgiApp:
        """Litestar, with the routes of the kit for all other paths."""
        errors = self._errors

        @asgi("/", is_mount=True)
        async def kit(scope: Any, receive: Any, send: Any) -> None:
            await routes(scope, receive, send)

        def respond(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            expected = to_app_error(error, request.scope["path"])
            context = request_context(cast("Scope", request.scope))
            body = errors.body(expected, context.request_id)
            return Response(
                body, status_code=expected.status, media_type=errors.media_type, headers=dict(expected.headers)
            )

        options = {"exception_handlers": {}, "openapi_config": None, "on_app_init": (), **self._options}
        options["exception_handlers"] = {Exception: respond, **options["exception_handlers"]}
        options["on_app_init"] = [_without_logging, *options["on_app_init"]]
        return cast("AsgiApp", Litestar([*self._handlers, kit], **options))


def _without_logging(config: AppConfig) -> AppConfig:
    """Litestar 2 would configure the logging of the process."""
    if hasattr(config, "logging_config"):
        config.logging_config = None
    return config


def to_app_error(error: Exception, path: str) -> AppError:
    """Return an AppError as it is, and the matching AppError for an exception of Litestar.

    Any other exception is logged with its traceback. Its details are not sent to the client.
    """
    if isinstance(error, AppError):
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("dependency_unavailable", code=error.code, cause=repr(error.__cause__))
        return error
    if isinstance(error, ValidationException):
        return Invalid(errors=[_field_error(fault) for fault in error.extra or ()])
    kind = _ERRORS_BY_STATUS.get(error.status_code) if isinstance(error, HTTPException) else None
    if kind is None:
        log.error("unhandled_exception", path=path, exc_info=error)
        return AppError()
    return kind(headers=dict(getattr(error, "headers", None) or {}))


def _field_error(fault: Any) -> FieldError:
    return FieldError(str(fault.get("key", "$")), str(fault.get("message", "invalid")))
