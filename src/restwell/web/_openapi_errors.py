"""The error responses of operations in the OpenAPI document."""

from collections.abc import Sequence
from typing import Final

import msgspec

from restwell.cache import TooManyLoads
from restwell.database import DatabaseBusy, DatabaseUnavailable, TransactionConflict
from restwell.edge._concurrency_limiter import Overloaded
from restwell.edge._lifecycle import Gone
from restwell.errors import (
    AppError,
    BodyTooLarge,
    DeadlineExceeded,
    ErrorFormat,
    FieldError,
    Forbidden,
    HeadersTooLarge,
    Invalid,
    InvalidCursor,
    MalformedRequest,
    NotFound,
    PreconditionFailed,
    RequestTimeout,
    Unauthorized,
    UnsupportedMediaType,
    UriTooLong,
)
from restwell.idempotency import IdempotencyKeyInFlight, IdempotencyKeyRequired, IdempotencyKeyReused
from restwell.rate_limits._limiter import RateLimited
from restwell.web._endpoint import Endpoint
from restwell.web._guards import (
    InsufficientScope,
    is_kit_guard,
    requires_role,
)
from restwell.web._openapi_schemas import EXAMPLES_BY_FORMAT, ComponentSchemas, Schema
from restwell.web._session_cookies import SAFE_METHODS, CrossSiteRequest

_COMMON_ERRORS: Final = (
    AppError,
    DatabaseUnavailable,
    DatabaseBusy,
    TransactionConflict,
    TooManyLoads,
    DeadlineExceeded,
    Overloaded,
    MalformedRequest,
    UriTooLong,
    HeadersTooLarge,
)


def documented_errors(endpoint: Endpoint) -> list[type[AppError]]:
    """Every error of an operation: the declared ones and those of its guards, body and parameters."""
    parameters = endpoint.parameters
    authenticates = any(map(is_kit_guard, endpoint.guards))
    has_body = parameters.data is not None or parameters.upload or parameters.form is not None
    has_text = parameters.filters is not None or parameters.form is not None
    checks_origin = endpoint.auth is not None and endpoint.auth.uses_cookies and endpoint.method not in SAFE_METHODS
    errors_by_condition: list[tuple[object, Sequence[type[AppError]]]] = [
        (True, endpoint.raises),
        (endpoint.cache, [PreconditionFailed]),
        (True, [error for header in parameters.headers.values() for error in header.raises]),
        (authenticates, [Unauthorized, InsufficientScope]),
        (authenticates and checks_origin, [CrossSiteRequest]),
        (any(isinstance(guard, requires_role) for guard in endpoint.guards), [Forbidden]),
        (parameters.path, [NotFound]),
        (has_body, [MalformedRequest, BodyTooLarge, RequestTimeout, UnsupportedMediaType, Invalid]),
        (has_text, [MalformedRequest, Invalid]),
        (endpoint.is_page, [InvalidCursor]),
        (endpoint.idempotent, [IdempotencyKeyRequired, IdempotencyKeyInFlight, IdempotencyKeyReused]),
        (endpoint.declared_rate is not None, [RateLimited]),
        (endpoint.lifecycle is not None and endpoint.lifecycle.sunset is not None, [Gone]),
        (True, _COMMON_ERRORS),
    ]
    return list(dict.fromkeys(error for applies, errors in errors_by_condition if applies for error in errors))


class ErrorResponses:
    """The error responses of operations. Equal ones are one object: most operations have the same."""

    def __init__(self, schemas: ComponentSchemas) -> None:
        self._schemas = schemas
        self._known: dict[tuple[int, tuple[type[AppError], ...]], Schema] = {}

    def of(self, endpoint: Endpoint) -> Schema:
        """The responses by status."""
        by_status: dict[int, list[type[AppError]]] = {}
        for error_type in documented_errors(endpoint):
            by_status.setdefault(error_type.status, []).append(error_type)
        return {str(status): self._of(endpoint.errors, tuple(types)) for status, types in by_status.items()}

    def _of(self, form: ErrorFormat, types: tuple[type[AppError], ...]) -> Schema:
        key = id(form), types
        if key not in self._known:
            examples = {
                each.code: {
                    "summary": each.message,
                    "value": msgspec.to_builtins(form.body(_instance(each), EXAMPLES_BY_FORMAT["uuid"])),
                }
                for each in types
            }
            content = {"schema": self._schemas.ref(form.schema), "examples": examples}
            _list_codes(content)
            description = " · ".join(f"`{each.code}`" for each in types)
            self._known[key] = {"description": description, "content": {form.media_type: content}}
        return self._known[key]


def _instance(error_type: type[AppError]) -> AppError:
    if issubclass(error_type, Invalid):
        return error_type(errors=[FieldError("$.field", "required")])
    return error_type(error_type.message)


def _list_codes(content: Schema) -> None:
    """Restrict the error code in the body of an error to the names of its examples, in place.

    A keyword beside the reference keeps one component for all errors: generators make one class of it, with a text as
    the code, and a client made of an old document accepts a new code.
    """
    values = {code: example["value"] for code, example in content["examples"].items()}
    if "$ref" in content["schema"] and all(isinstance(value, dict) for value in values.values()):
        for name in next(iter(values.values())):
            if all(value.get(name) == code for code, value in values.items()):
                content["schema"] = {**content["schema"], "properties": {name: {"enum": list(values)}}}
