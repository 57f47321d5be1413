"""Builds the OpenAPI 3.1 document from the route table.

The docstring of a handler gives the summary and the description, its ``data``, ``filters`` and return types give the
schemas, and its guards give the security. ``errors=[...]`` on the route adds to the errors that follow from these.
"""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from http import HTTPStatus
from operator import or_
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute

from restwell.cache import TooManyLoads
from restwell.database import DatabaseBusy, DatabaseUnavailable, TransactionConflict
from restwell.edge._concurrency_limiter import Overloaded
from restwell.errors import (
    PROBLEM_MEDIA_TYPE,
    AppError,
    BodyTooLarge,
    DeadlineExceeded,
    FieldError,
    Forbidden,
    HeadersTooLarge,
    Invalid,
    MalformedRequest,
    NotFound,
    PreconditionFailed,
    Problem,
    RequestTimeout,
    Unauthorized,
    UnsupportedMediaType,
    UriTooLong,
)
from restwell.idempotency import HEADER, IdempotencyKeyInFlight, IdempotencyKeyRequired, IdempotencyKeyReused
from restwell.rate_limits._limiter import RateLimited
from restwell.web._forms import FORM
from restwell.web._guards import (
    InsufficientScope,
    authenticates,
    guard_name,
    is_kit_guard,
    requires_role,
    signed_in_or_scope,
)
from restwell.web._idempotent import is_idempotent
from restwell.web._openapi_schemas import EXAMPLES_BY_FORMAT, ComponentSchemas, Schema
from restwell.web._rate_limits import declared_rate, route_guards
from restwell.web._request import JSON, body_media_type
from restwell.web._session_cookies import ACCESS_COOKIE, SAFE_METHODS, SESSION_COOKIES, CrossSiteRequest
from restwell.web._token_endpoint import ClientCredentials, OAuthError, oauth_error_response, to_oauth_error
from restwell.web._uploads import MULTIPART, PART

BEARER_SCHEME: Final = "access_token"
COOKIE_SCHEME: Final = "session_cookie"
CLIENT_CREDENTIALS_SCHEME: Final = "client_credentials"

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
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
_INTEGER_NOTE: Final = "Integers have no fraction and no exponent."
"""JSON Schema cannot express it: it accepts 1.0 as an integer."""

_UPLOAD: Final = {
    "type": "object",
    "properties": {PART: {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": [PART],
}


class Operation(NamedTuple):
    """A method of a path, with its handler."""

    path: str
    method: str
    handler: HTTPRouteHandler


def operations(app: Litestar) -> list[Operation]:
    """Every documented operation: by tag in the order of the route table, then by path and method."""
    documented = [
        Operation(route.path_format, method, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.resolve_include_in_schema()
        for method in handler.http_methods - {"OPTIONS"}
    ]
    tags = list(dict.fromkeys(_tags(operation) for operation in documented))
    return sorted(documented, key=lambda each: (tags.index(_tags(each)), each.path, _METHODS.index(each.method)))


def documented_errors(handler: HTTPRouteHandler, path: str) -> list[type[AppError]]:
    """Every error of an operation: the declared ones and those of its guards, body and parameters."""
    errors = [*handler.opt.get("errors", ()), *((PreconditionFailed,) if "cached" in handler.opt else ())]
    if authenticates(handler):
        errors += [Unauthorized, InsufficientScope]
        if _has_cookies(handler) and not SAFE_METHODS.issuperset(handler.http_methods):
            errors.append(CrossSiteRequest)
    if _roles(handler):
        errors.append(Forbidden)
    if "{" in path:
        errors.append(NotFound)
    if _type_of(handler, "data") is not None or _type_of(handler, "upload") is not None:
        errors += [MalformedRequest, BodyTooLarge, RequestTimeout, UnsupportedMediaType, Invalid]
    if _type_of(handler, "form") is not None:
        errors += [BodyTooLarge, RequestTimeout, UnsupportedMediaType]
    if _type_of(handler, "filters") is not None or _type_of(handler, "form") is not None:
        errors += [MalformedRequest, Invalid]
    if is_idempotent(handler):
        errors += [IdempotencyKeyRequired, IdempotencyKeyInFlight, IdempotencyKeyReused]
    if handler.opt.get("rate_limit", True) is not None:
        errors.append(RateLimited)
    return list(dict.fromkeys([*errors, *_COMMON_ERRORS]))


def openapi_document(
    app: Litestar,
    *,
    title: str,
    version: str,
    description: str,
    client_credentials: ClientCredentials | None = None,
    url: str | None = None,
) -> Schema:
    """Build the document. Without ``url``, the server URL is relative to the document."""
    documented = operations(app)
    schemas = ComponentSchemas(
        [Problem, OAuthError, *(kind for operation in documented for kind in _schema_types(operation))]
    )
    paths: dict[str, Schema] = {}
    for operation in documented:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(
            operation, schemas, client_credentials
        )
    used = {
        scheme
        for path in paths.values()
        for operation_object in path.values()
        for requirement in operation_object["security"]
        for scheme in requirement
    }
    schemes = {
        BEARER_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        COOKIE_SCHEME: {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE},
        **(
            {CLIENT_CREDENTIALS_SCHEME: _client_credentials_scheme(client_credentials)}
            if client_credentials is not None
            else {}
        ),
    }
    tags = dict.fromkeys(tag for operation in documented for tag in _tags(operation))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": f"{description}\n\n{_INTEGER_NOTE}"},
        "servers": [{"url": url or "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.used_by(paths),
            "securitySchemes": {name: scheme for name, scheme in schemes.items() if name in used},
        },
    }


def _describe(operation: Operation, schemas: ComponentSchemas, credentials: ClientCredentials | None) -> Schema:
    path, method, handler = operation
    summary, _, rest = inspect.cleandoc(handler.fn.__doc__ or handler.handler_name).partition("\n")
    described: Schema = {
        "operationId": handler.handler_name,
        "tags": list(_tags(operation)),
        "summary": summary.rstrip("."),
        "parameters": list(_parameters(handler, path, schemas)),
        "responses": _responses(operation, schemas),
        "security": [],
    }
    sentences = rest.split()
    if roles := _roles(handler):
        sentences.append(f"Requires the role {' and '.join(roles)}.")
    if authenticates(handler):
        described["security"] = [{BEARER_SCHEME: []}, *([{COOKIE_SCHEME: []}] if _has_cookies(handler) else [])]
    if credentials is not None and (scopes := required_scopes(handler)):
        sentences.append(f"OAuth clients require the scope {' and '.join(scopes)}.")
        described["security"].append({CLIENT_CREDENTIALS_SCHEME: scopes})
    if custom := [guard_name(guard) for guard in route_guards(handler) if not is_kit_guard(guard)]:
        sentences.append(f"Guarded by {', '.join(custom)}.")
    if (rate := declared_rate(handler)) is not None:
        sentences.append(f"Rate limit: {rate.count} requests per {rate.seconds} seconds.")
    if sentences:
        described["description"] = " ".join(sentences)
    data = _type_of(handler, "data")
    if data is not None:
        described["requestBody"] = {"required": True, "content": {body_media_type(method): schemas.content(data)}}
    form = _type_of(handler, "form")
    if form is not None:
        described["requestBody"] = {"required": True, "content": {FORM: schemas.content(form)}}
    if _type_of(handler, "upload") is not None:
        described["requestBody"] = {"required": True, "content": {MULTIPART: {"schema": _UPLOAD}}}
    return described


def _responses(operation: Operation, schemas: ComponentSchemas) -> Schema:
    path, _, handler = operation
    responses: Schema = {str(handler.status_code): {"description": HTTPStatus(handler.status_code).phrase}}
    returned = _returned(handler)
    if returned:
        media_type = handler.media_type
        content = (
            {JSON: schemas.content(*returned)}
            if media_type in {"", JSON}
            else {media_type: {"schema": {"type": "string", "format": "binary"}}}
        )
        responses[str(handler.status_code)]["content"] = content
    if "cached" in handler.opt:
        responses["304"] = {"description": "Not modified: the cached copy is current."}
    for status, response in (handler.responses or {}).items():
        responses[str(status)] = {"description": response.description}
    in_oauth = handler.resolve_exception_handlers().get(AppError) is oauth_error_response
    media_type, kind = (JSON, OAuthError) if in_oauth else (PROBLEM_MEDIA_TYPE, Problem)
    for error_type in documented_errors(handler, path):
        response = responses.setdefault(
            str(error_type.status),
            {"description": "", "content": {media_type: {"schema": schemas.ref(kind), "examples": {}}}},
        )
        response["description"] += f"{' · ' if response['description'] else ''}`{error_type.code}`"
        error = _instance(error_type)
        body = to_oauth_error(error) if in_oauth else error.problem(EXAMPLES_BY_FORMAT["uuid"])
        example = msgspec.to_builtins(body)
        response["content"][media_type]["examples"][error_type.code] = {
            "summary": error_type.message,
            "value": example,
        }
    return dict(sorted(responses.items()))


def _instance(error_type: type[AppError]) -> AppError:
    if issubclass(error_type, Invalid):
        return error_type(errors=[FieldError("$.field", "required")])
    return error_type(error_type.message)


def _parameters(handler: HTTPRouteHandler, path: str, schemas: ComponentSchemas) -> Iterator[Schema]:
    for name, field in handler.parsed_fn_signature.parameters.items():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, "schema": schemas.ref(field.annotation)}
        if isinstance(field.kwarg_definition, HeaderParameter):
            header = field.kwarg_definition.name
            yield {
                "name": header,
                "in": "header",
                "required": header == handler.opt.get("requires_header") or header == HEADER,
                "description": field.kwarg_definition.description or "",
                "schema": {"type": "string"},
            }
    if "cached" in handler.opt:
        text = "The ETag of the cached copy. The response is 304 while it is current."
        schema = {"type": "string"}
        yield {"name": "If-None-Match", "in": "header", "required": False, "description": text, "schema": schema}
    filters = _type_of(handler, "filters")
    if filters is not None:
        component = schemas.parameters_of(filters)
        required = component.get("required", ())
        for name, property_ in component["properties"].items():
            schema = _without_null(property_)
            text = schema.pop("description", "")
            yield {"name": name, "in": "query", "required": name in required, "description": text, "schema": schema}


def _without_null(schema: Schema) -> Schema:
    """Remove ``null`` from a query parameter. A missing one is None in the handler, but null is not a valid value."""
    arms = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    return {**arms[0]} if len(arms) == 1 else {**schema}


def _tags(operation: Operation) -> tuple[str, ...]:
    return tuple(sorted(operation.handler.resolve_tags()))


def _schema_types(operation: Operation) -> Iterator[Any]:
    """The types whose schemas an operation refers to."""
    path, _, handler = operation
    kinds = [_type_of(handler, "data"), _type_of(handler, "filters"), _type_of(handler, "form"), *_returned(handler)]
    in_path = (p.annotation for name, p in handler.parsed_fn_signature.parameters.items() if f"{{{name}}}" in path)
    yield from (kind for kind in [*kinds, *in_path] if kind is not None)


def _type_of(handler: HTTPRouteHandler, parameter: str) -> Any:
    field = handler.parsed_fn_signature.parameters.get(parameter)
    return field.annotation if field is not None else None


def _returned(handler: HTTPRouteHandler) -> list[Any]:
    """The body types of the successful response: ``Response[Product | None]`` has a Product."""
    annotation = handler.parsed_fn_signature.return_type.annotation
    body = get_args(annotation)[0] if get_origin(annotation) is Response else annotation
    arms = get_args(body) if isinstance(body, UnionType) or get_origin(body) is Union else (body,)
    kinds = [arm for arm in arms if arm not in {None, type(None)}]
    if len(kinds) > 1:
        union = reduce(or_, kinds)
        with suppress(TypeError):  # untagged Structs have no union schema
            msgspec.json.schema_components([union])
            return [union]
    return kinds


def _has_cookies(handler: HTTPRouteHandler) -> bool:
    return bool(handler.app.state.get(SESSION_COOKIES))


def required_scopes(handler: HTTPRouteHandler) -> list[str]:
    """The scopes that machine clients require. Empty if they are not allowed."""
    guards = (guard for guard in route_guards(handler) if isinstance(guard, (requires_role, signed_in_or_scope)))
    return [guard.scope for guard in guards if guard.scope is not None]


def _roles(handler: HTTPRouteHandler) -> list[str]:
    return [guard.role for guard in route_guards(handler) if isinstance(guard, requires_role)]


def _client_credentials_scheme(credentials: ClientCredentials) -> Schema:
    flow = {"tokenUrl": credentials.token_path, "scopes": dict(credentials.scopes)}
    return {"type": "oauth2", "flows": {"clientCredentials": flow}}
