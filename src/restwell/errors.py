"""Errors: a code for machines, a status for HTTP and a message for people (RFC 9457 problem details)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from msgspec import Struct

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""RFC 9110's names, which Python's own list has from 3.13 on."""


class FieldError(Struct, frozen=True):
    """One fault in the input. ``path`` is a JSONPath (``$.items[0].quantity``) or a parameter's name."""

    path: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every error answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []


class AppError(Exception):
    """An expected failure. Subclasses fix ``code``, ``status`` and the default ``message``; extras are public."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong on our side. Quote the request id when you report it."

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
            type="about:blank",  # RFC 9457 4.2.1: the title is the status phrase; `code` says which problem
            title=_PHRASES.get(self.status) or HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
            errors=self.errors,
        )


class ConfigurationError(Exception):
    """The process cannot start as configured. ``faults`` holds one line for each thing to put right."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class PermanentFailure(Exception):
    """What a job raises when another attempt would not help: it is dead at once, with this as its reason."""


class MalformedRequest(AppError):
    code, status, message = "malformed_request", 400, "The request could not be read."


class InvalidCursor(AppError):
    code, status = "invalid_cursor", 400
    message = "The cursor is not one of ours, or belongs to another query. Start again without it."


class Unauthorized(AppError):
    code, status, message = "unauthorized", 401, "Sign in and send a valid access token."

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        # RFC 6750 3: a refused bearer token is answered with the scheme and the reason's code.
        super().__init__(message, headers={"www-authenticate": 'Bearer error="invalid_token"'}, **extra)


class Forbidden(AppError):
    code, status, message = "forbidden", 403, "Your role does not allow this."


class NotFound(AppError):
    code, status, message = "not_found", 404, "There is nothing here."


class MethodNotAllowed(AppError):
    code, status, message = "method_not_allowed", 405, "This resource does not support that method; see Allow."


class RequestTimeout(AppError):
    code, status, message = "request_timeout", 408, "The request's body did not arrive in time. Nothing was done."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"connection": "close"})


class Conflict(AppError):
    code, status, message = "conflict", 409, "The request conflicts with the current state."


class PreconditionFailed(AppError):
    code, status = "precondition_failed", 412
    message = "The resource has changed since you read it. Read it again and repeat with the new ETag."


class BodyTooLarge(AppError):
    code, status, message = "body_too_large", 413, "The request body is larger than allowed."


class UriTooLong(AppError):
    code, status, message = "uri_too_long", 414, "The address is longer than allowed."


class UnsupportedMediaType(AppError):
    code, status, message = "unsupported_media_type", 415, "The body has a content type this route does not read."


class Invalid(AppError):
    code, status, message = "invalid", 422, "The request has invalid fields; see errors."


class PreconditionRequired(AppError):
    code, status = "precondition_required", 428
    message = "Send If-Match with the ETag you last read, so that no one's change is lost."


class HeadersTooLarge(AppError):
    code, status, message = "headers_too_large", 431, "The header fields are longer than 32,768 bytes together."


class ServiceUnavailable(AppError):
    """A dependency is down or too slow; safe to repeat after ``Retry-After`` seconds."""

    code, status, message = "service_unavailable", 503, "A service this depends on is unavailable. Try again shortly."

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})


class DeadlineExceeded(ServiceUnavailable):
    code = "deadline_exceeded"
    message = (
        "This took too long and was given up; it may or may not have taken effect. Read again what you wanted to change, or"
        " repeat the request with the same Idempotency-Key."
    )
