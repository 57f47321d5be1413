"""Every error as a problem (RFC 9457), those of the framework included. The one place where errors become answers."""

from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from restwell.edge.context import Scope, request_context
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

_OF_FRAMEWORK: Final[dict[int, type[AppError]]] = {
    error.status: error
    for error in (MalformedRequest, Forbidden, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, Invalid)
}


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """What the framework answers with for anything that was raised."""
    told = app_error_for(error, request.scope["path"])
    return Response(
        told.problem(request_context(cast("Scope", request.scope)).request_id),
        status_code=told.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=told.headers,
    )


def app_error_for(error: Exception, path: str) -> AppError:
    """An expected failure as it is; what the framework raises as ours; anything unforeseen is logged with its traceback and answered with
    nothing but a request id to quote.
    """
    if isinstance(error, AppError):
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("dependency_unavailable", code=error.code, cause=repr(error.__cause__))
        return error
    if isinstance(error, ValidationException):
        return Invalid(errors=[_field_error(fault) for fault in error.extra or ()])
    kind = _OF_FRAMEWORK.get(error.status_code) if isinstance(error, HTTPException) else None
    if kind is None:
        log.error("unhandled_exception", path=path, exc_info=error)
        return AppError()
    headers = dict(getattr(error, "headers", None) or {})
    if "GET" in (allow := headers.get("allow", "")):
        headers["allow"] = f"{allow}, HEAD"  # the edge answers HEAD wherever there is GET
    return kind(headers=headers)


def _field_error(fault: Any) -> FieldError:
    return FieldError(str(fault.get("key", "$")), str(fault.get("message", "invalid")))
