"""Application errors with a stable code, an HTTP status and a message, rendered as RFC 9457 problem details."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from msgspec import Struct

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""Status phrases of RFC 9110; ``http.HTTPStatus`` has them since Python 3.13."""


class FieldError(Struct, frozen=True):
    """An invalid field. ``path`` is a JSONPath (``$.items[0].quantity``) or the name of a parameter."""

    path: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error response (RFC 9457). ``code`` identifies the error, ``request_id`` the request in the logs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []


class AppError(Exception):
    """An expected failure. Subclasses set ``code``, ``status`` and the default ``message``. All of it is public."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Internal error. Include the request id when you report it."

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = message or self.message
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def problem(self, request_id: str) -> Problem:
        return Problem(
            type="about:blank",  # RFC 9457 4.2.1: the title is the status phrase; `code` identifies the error
            title=_PHRASES.get(self.status) or HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
            errors=self.errors,
        )


class ErrorFormat(Struct, frozen=True):
    """The form of every error response: RFC 9457 problems, unless the application sets another.

    ``body`` returns a Struct or a builtin type, from the error and the id of the request. ``schema`` is its type, for
    the OpenAPI document. The error determines status and headers; ``headers`` are added to each.
    """

    media_type: str = PROBLEM_MEDIA_TYPE
    body: Callable[[AppError, str], Any] = AppError.problem
    schema: type = Problem
    headers: Mapping[str, str] = {}


PROBLEMS: Final = ErrorFormat()


class ConfigurationError(Exception):
    """The process cannot start with this configuration. ``faults`` has one line per fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class PermanentFailure(Exception):
    """Raised by a job when a retry cannot succeed. The job becomes dead immediately, with this message as its error."""


class MalformedRequest(AppError):
    """The request violates the syntax of HTTP, JSON or a form."""

    code, status, message = "malformed_request", 400, "The request could not be read."


class InvalidCursor(AppError):
    """The cursor of a page was altered, or belongs to a request with other filters."""

    code, status = "invalid_cursor", 400
    message = "The cursor is invalid, or belongs to a request with other filters. Start again without a cursor."


class Unauthorized(AppError):
    """The request has no valid credentials."""

    code, status, message = "unauthorized", 401, "Sign in and send a valid access token."

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # RFC 6750 3: the response to a rejected bearer token has the scheme and the error code.
        super().__init__(
            message, errors=errors, headers={"www-authenticate": 'Bearer error="invalid_token"'} | dict(headers or {})
        )


class Forbidden(AppError):
    """The caller is known, and may not do this."""

    code, status, message = "forbidden", 403, "Your role does not allow this."


class NotFound(AppError):
    """The resource does not exist, or the caller may not know that it does."""

    code, status, message = "not_found", 404, "The resource does not exist."


class MethodNotAllowed(AppError):
    """The route exists with other methods."""

    code, status, message = (
        "method_not_allowed",
        405,
        "The resource does not support this method. See the Allow header.",
    )


class RequestTimeout(AppError):
    """The client sent its body too slowly. The connection is closed."""

    code, status, message = "request_timeout", 408, "The request body did not arrive in time. Nothing was changed."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"connection": "close"})


class Conflict(AppError):
    """The current state does not allow the request. Base of an application's conflicts."""

    code, status, message = "conflict", 409, "The request conflicts with the current state."


class PreconditionFailed(AppError):
    """``If-Match`` names another version than the current one."""

    code, status = "precondition_failed", 412
    message = "The resource has changed since you read it. Read it again and retry with the new ETag."


class BodyTooLarge(AppError):
    """The body exceeds ``REQUEST_MAX_BYTES``."""

    code, status, message = "body_too_large", 413, "The request body is larger than allowed."


class UriTooLong(AppError):
    """The path and query exceed the limit."""

    code, status, message = "uri_too_long", 414, "The URI is longer than allowed."


class UnsupportedMediaType(AppError):
    """The route does not read bodies of this content type."""

    code, status, message = "unsupported_media_type", 415, "The route does not support the content type of the body."


class Invalid(AppError):
    """The request is well-formed and has invalid values. ``errors`` lists the fields."""

    code, status, message = "invalid", 422, "The request has invalid fields; see errors."


class PreconditionRequired(AppError):
    """The route requires ``If-Match``."""

    code, status = "precondition_required", 428
    message = "Send If-Match with the ETag that you read last. It prevents lost updates."


class HeadersTooLarge(AppError):
    """The header fields exceed the limit."""

    code, status, message = "headers_too_large", 431, "The header fields exceed 32,768 bytes in total."


class ServiceUnavailable(AppError):
    """A dependency is down or too slow. The request can be retried after ``Retry-After`` seconds."""

    code, status, message = "service_unavailable", 503, "A required service is unavailable. Try again shortly."

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})


class DeadlineExceeded(ServiceUnavailable):
    """The request took longer than its deadline. Its outcome is unknown."""

    code = "deadline_exceeded"
    message = (
        "The request timed out. It may or may not have taken effect. Read the resource again, or retry with the same"
        " Idempotency-Key."
    )
