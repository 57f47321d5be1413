"""Converts every exception, including those of the framework, into a problem response (RFC 9457)."""

from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from restwell.edge._context import Scope, request_context
from restwell.errors import (
    PROBLEM_MEDIA_TYPE,
    AppError,
    BodyTooLarge,
    FieldError,
    Forbidden,
    Invalid,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    UnsupportedMediaType,
)

log = structlog.get_logger("restwell.problems")

_ERRORS_BY_STATUS: Final[dict[int, type[AppError]]] = {
    error.status: error
    for error in (MalformedRequest, Forbidden, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, Invalid)
}


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The exception handler of the framework."""
    app_error = to_app_error(error, request.scope["path"])
    return Response(
        app_error.problem(request_context(cast("Scope", request.scope)).request_id),
        status_code=app_error.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=app_error.headers,
    )


def to_app_error(error: Exception, path: str) -> AppError:
    """Return an AppError as it is, and the matching AppError for an exception of the framework.

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
    headers = dict(getattr(error, "headers", None) or {})
    if "GET" in (allow := headers.get("allow", "")):
        headers["allow"] = f"{allow}, HEAD"  # the edge supports HEAD for every GET route
    return kind(headers=headers)


def _field_error(fault: Any) -> FieldError:
    return FieldError(str(fault.get("key", "$")), str(fault.get("message", "invalid")))
