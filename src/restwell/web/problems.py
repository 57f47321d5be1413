"""Every error as a problem (RFC 9457), those of the framework included. The one place where errors become answers."""

from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from restwell.edge.exchange import Scope, exchange_in
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


def answer_app_error(request: Request[Any, Any, Any], error: AppError) -> Response[Problem]:
    """An expected failure, as it is."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("unavailable", code=error.code, cause=repr(error.__cause__))
    return _response(request, error)


def answer_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What Litestar raises on its own: no route, wrong method, too large, a header or parameter of the wrong type."""
    if isinstance(error, ValidationException):
        return _response(request, Invalid(errors=[_field_error(fault) for fault in error.extra or ()]))
    kind = _OF_FRAMEWORK.get(error.status_code)
    if kind is None:
        return answer_crash(request, error)
    headers = dict(error.headers or {})
    if "GET" in (allow := headers.get("allow", "")):
        headers["allow"] = f"{allow}, HEAD"  # the edge answers HEAD wherever there is GET
    return _response(request, kind(headers=headers))


def answer_crash(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Anything unforeseen: logged with its traceback, answered with nothing but a request id to quote."""
    log.error("crash", path=request.scope["path"], exc_info=error)
    return _response(request, AppError())


def _field_error(fault: Any) -> FieldError:
    return FieldError(str(fault.get("key", "$")), str(fault.get("message", "invalid")))


def _response(request: Request[Any, Any, Any], error: AppError) -> Response[Problem]:
    return Response(
        error.problem(exchange_in(cast("Scope", request.scope)).request_id),
        status_code=error.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=error.headers,
    )
