"""The OpenAPI 3.1 document, made from the route table: what the handlers declare is what it says.

A handler's docstring gives summary and description, its ``data``, ``filters`` and return types the schemas, its guards the
security, and ``errors=[...]`` on the route the problems it may answer besides those that follow from the rest.
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
from restwell.edge.concurrency_limiter import Overloaded
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
from restwell.rate_limits import RateLimited
from restwell.web.formats import add_patterns
from restwell.web.forms import FORM
from restwell.web.guards import InsufficientScope, authenticates, is_of_kit, name_of, requires_role, signed_in_or_scope
from restwell.web.idempotent import is_idempotent
from restwell.web.limits import declared_rate, guards_of
from restwell.web.machines import Machines
from restwell.web.oauth import OAuthError, answer_oauth_error, as_oauth_error
from restwell.web.request import JSON, body_media_type
from restwell.web.session_cookies import ACCESS, SAFE, SESSION_COOKIES, CrossSiteRequest
from restwell.web.uploads import MULTIPART, PART
from restwell.web.validation import schema_hook

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"
SECURITY: Final = "access_token"
COOKIE_SECURITY: Final = "session_cookie"
MACHINE_SECURITY: Final = "machine"

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ANYWHERE: Final = (
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
_EXAMPLES_BY_FORMAT: Final = {
    "uuid": "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5",
    "date-time": "2026-01-31T09:30:00Z",
    "date": "2026-01-31",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "decimal": "1.5",
    "email": "someone@example.com",
    "uri": "https://example.com/",
}
_EXAMPLES_BY_TYPE: Final = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}

_NUMBERS: Final = "Integers are written without a fraction and an exponent."
"""What JSON Schema cannot say: there 1.0 is an integer."""

_UPLOAD: Final = {
    "type": "object",
    "properties": {PART: {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": [PART],
}


class Operation(NamedTuple):
    """One method of one path, and the handler that answers it."""

    path: str
    method: str
    handler: HTTPRouteHandler


def operations(app: Litestar) -> list[Operation]:
    """Every documented operation: by tag in the order of the route table, then by path and method."""
    found = [
        Operation(route.path_format, method, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.resolve_include_in_schema()
        for method in handler.http_methods - {"OPTIONS"}
    ]
    tags = list(dict.fromkeys(_tags(operation) for operation in found))
    return sorted(found, key=lambda one: (tags.index(_tags(one)), one.path, _METHODS.index(one.method)))


def problems_of(handler: HTTPRouteHandler, path: str) -> list[type[AppError]]:
    """Every error the operation may answer: the declared ones, and those that its guards, body and parameters bring."""
    problems = [*handler.opt.get("errors", ()), *((PreconditionFailed,) if "cached" in handler.opt else ())]
    if authenticates(handler):
        problems += [Unauthorized, InsufficientScope]
        if _has_cookies(handler) and not SAFE.issuperset(handler.http_methods):
            problems.append(CrossSiteRequest)
    if _roles(handler):
        problems.append(Forbidden)
    if "{" in path:
        problems.append(NotFound)
    if _type_of(handler, "data") is not None or _type_of(handler, "upload") is not None:
        problems += [MalformedRequest, BodyTooLarge, RequestTimeout, UnsupportedMediaType, Invalid]
    if _type_of(handler, "form") is not None:
        problems += [BodyTooLarge, RequestTimeout, UnsupportedMediaType]
    if _type_of(handler, "filters") is not None or _type_of(handler, "form") is not None:
        problems += [MalformedRequest, Invalid]
    if is_idempotent(handler):
        problems += [IdempotencyKeyRequired, IdempotencyKeyInFlight, IdempotencyKeyReused]
    if handler.opt.get("rate_limit", True) is not None:
        problems.append(RateLimited)
    return list(dict.fromkeys([*problems, *_ANYWHERE]))


def openapi_document(
    app: Litestar,
    *,
    title: str,
    version: str,
    description: str,
    machines: Machines | None = None,
    url: str | None = None,
) -> Schema:
    """The whole document, ready to be encoded. Without ``url``, operations are where the document is."""
    found = operations(app)
    schemas = _Schemas([Problem, OAuthError, *(kind for operation in found for kind in _types(operation))])
    paths: dict[str, Schema] = {}
    for operation in found:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, schemas, machines)
    used = {scheme for path in paths.values() for one in path.values() for each in one["security"] for scheme in each}
    schemes = {
        SECURITY: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        COOKIE_SECURITY: {"type": "apiKey", "in": "cookie", "name": ACCESS},
        **({MACHINE_SECURITY: _client_credentials(machines)} if machines is not None else {}),
    }
    tags = dict.fromkeys(tag for operation in found for tag in _tags(operation))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": f"{description}\n\n{_NUMBERS}"},
        "servers": [{"url": url or "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.used_by(paths),
            "securitySchemes": {name: scheme for name, scheme in schemes.items() if name in used},
        },
    }


def _describe(operation: Operation, schemas: "_Schemas", machines: Machines | None) -> Schema:
    path, method, handler = operation
    summary, _, rest = inspect.cleandoc(handler.fn.__doc__ or handler.handler_name).partition("\n")
    described: Schema = {
        "operationId": handler.handler_name,
        "tags": list(_tags(operation)),
        "summary": summary.rstrip("."),
        "description": " ".join([summary, *rest.split()]),
        "parameters": list(_parameters(handler, path, schemas)),
        "responses": _responses(operation, schemas),
        "security": [],
    }
    if roles := _roles(handler):
        described["description"] += f" For the role: {', '.join(roles)}."
    if authenticates(handler):
        described["security"] = [{SECURITY: []}, *([{COOKIE_SECURITY: []}] if _has_cookies(handler) else [])]
    if machines is not None and (scopes := scopes_of(handler)):
        described["description"] += f" For machine clients with the scope: {', '.join(scopes)}."
        described["security"].append({MACHINE_SECURITY: scopes})
    if own := [name_of(guard) for guard in guards_of(handler) if not is_of_kit(guard)]:
        described["description"] += f" Guarded by {', '.join(own)}."
    if (rate := declared_rate(handler)) is not None:
        described["description"] += f" At most {rate.count} times in {rate.seconds} seconds."
    data = _type_of(handler, "data")
    if data is not None:
        described["requestBody"] = {"required": True, "content": {body_media_type(method): schemas.content(data)}}
    form = _type_of(handler, "form")
    if form is not None:
        described["requestBody"] = {"required": True, "content": {FORM: schemas.content(form)}}
    if _type_of(handler, "upload") is not None:
        described["requestBody"] = {"required": True, "content": {MULTIPART: {"schema": _UPLOAD}}}
    return described


def _responses(operation: Operation, schemas: "_Schemas") -> Schema:
    path, _, handler = operation
    responses: Schema = {str(handler.status_code): {"description": HTTPStatus(handler.status_code).phrase}}
    returned = _returned(handler)
    if returned:
        kind = handler.opt.get("produces")
        body = (
            {JSON: schemas.content(*returned)}
            if kind is None
            else {kind: {"schema": {"type": "string", "format": "binary"}}}
        )
        responses[str(handler.status_code)]["content"] = body
    if "cached" in handler.opt:
        responses["304"] = {"description": "Your copy is current."}
    for status, text in handler.opt.get("also", {}).items():
        responses[str(status)] = {"description": text}
    in_oauth = handler.resolve_exception_handlers().get(AppError) is answer_oauth_error
    media_type, kind = (JSON, OAuthError) if in_oauth else (PROBLEM_MEDIA_TYPE, Problem)
    for problem in problems_of(handler, path):
        response = responses.setdefault(
            str(problem.status),
            {"description": "", "content": {media_type: {"schema": schemas.ref(kind), "examples": {}}}},
        )
        response["description"] += f"{' · ' if response['description'] else ''}`{problem.code}`"
        error = _instance(problem)
        shown = as_oauth_error(error) if in_oauth else error.problem(_EXAMPLES_BY_FORMAT["uuid"])
        example = msgspec.to_builtins(shown)
        response["content"][media_type]["examples"][problem.code] = {
            "summary": problem.message,
            "value": example,
        }
    return dict(sorted(responses.items()))


def _instance(problem: type[AppError]) -> AppError:
    if issubclass(problem, Invalid):
        return problem(errors=[FieldError("$.field", "required")])
    return problem(problem.message)


def _parameters(handler: HTTPRouteHandler, path: str, schemas: "_Schemas") -> Iterator[Schema]:
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
        text = "The ETag you hold; answers 304 while it is current."
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
    """What a query parameter may hold: one that is left out is None in the handler, but null is no value of it."""
    arms = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    return {**arms[0]} if len(arms) == 1 else {**schema}


def _tags(operation: Operation) -> tuple[str, ...]:
    return tuple(sorted(operation.handler.resolve_tags()))


def _types(operation: Operation) -> Iterator[Any]:
    """The types whose schemas the operation needs."""
    path, _, handler = operation
    kinds = [_type_of(handler, "data"), _type_of(handler, "filters"), _type_of(handler, "form"), *_returned(handler)]
    in_path = (p.annotation for name, p in handler.parsed_fn_signature.parameters.items() if f"{{{name}}}" in path)
    yield from (kind for kind in [*kinds, *in_path] if kind is not None)


def _type_of(handler: HTTPRouteHandler, parameter: str) -> Any:
    field = handler.parsed_fn_signature.parameters.get(parameter)
    return field.annotation if field is not None else None


def _returned(handler: HTTPRouteHandler) -> list[Any]:
    """The types of the body that a success answers with: ``Response[Product | None]`` answers with a Product."""
    annotation = handler.parsed_fn_signature.return_type.annotation
    body = get_args(annotation)[0] if get_origin(annotation) is Response else annotation
    arms = get_args(body) if isinstance(body, UnionType) or get_origin(body) is Union else (body,)
    kinds = [arm for arm in arms if arm not in {None, type(None)}]
    if len(kinds) > 1:
        together = reduce(or_, kinds)
        with suppress(TypeError):  # Structs without a tag, which only their fields tell apart
            msgspec.json.schema_components([together])
            return [together]
    return kinds


def _has_cookies(handler: HTTPRouteHandler) -> bool:
    return bool(handler.app.state.get(SESSION_COOKIES))


def scopes_of(handler: HTTPRouteHandler) -> list[str]:
    """What a machine client needs to call it; none, and it may not."""
    guards = (guard for guard in guards_of(handler) if isinstance(guard, (requires_role, signed_in_or_scope)))
    return [guard.scope for guard in guards if guard.scope is not None]


def _roles(handler: HTTPRouteHandler) -> list[str]:
    return [guard.role for guard in guards_of(handler) if isinstance(guard, requires_role)]


def _client_credentials(machines: Machines) -> Schema:
    flow = {"tokenUrl": machines.token_path, "scopes": dict(machines.scopes)}
    return {"type": "oauth2", "flows": {"clientCredentials": flow}}


def _refs_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref.removeprefix(REF)
        for inner in schema.values():
            yield from _refs_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _refs_in(inner)


class _Schemas:
    """The component schemas, and examples made from them."""

    def __init__(self, kinds: list[Any]) -> None:
        unique = list(dict.fromkeys(kinds))
        refs, components = msgspec.json.schema_components(unique, schema_hook=schema_hook, ref_template=REF + "{name}")
        add_patterns([refs, components])
        self._refs = dict(zip(unique, refs, strict=True))
        self.components = dict(sorted(components.items()))

    def ref(self, kind: Any) -> Schema:
        ref: Schema = self._refs[kind]
        return ref

    def content(self, *kinds: Any) -> Schema:
        """Of one of the kinds. The first that fits it is meant, so the narrower ones come first."""
        refs = [self.ref(kind) for kind in kinds]
        return {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}, "example": self.example(refs[0])}

    def used_by(self, paths: Schema) -> Schema:
        """The components that the paths refer to, directly or not."""
        used: set[str] = set()
        found = set(_refs_in(paths))
        while found - used:
            used |= found
            found = {ref for name in found for ref in _refs_in(self.components[name])}
        return {name: schema for name, schema in self.components.items() if name in used}

    def parameters_of(self, kind: Any) -> Schema:
        """The schema of a filter Struct; it is spread over query parameters, so it is no component itself."""
        component: Schema = self.components.pop(self.ref(kind)["$ref"].removeprefix(REF), {})
        if component:
            self._refs[kind] = {**self.ref(kind), "spread": component}
        spread: Schema = self._refs[kind]["spread"]
        return spread

    def example(self, schema: Schema) -> Any:
        """A value that the schema allows: its own first example, or one built from its parts."""
        for key in ("examples", "enum"):
            if schema.get(key):
                return schema[key][0]
        if "$ref" in schema:
            return self.example(self.components[schema["$ref"].removeprefix(REF)])
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        kind = str(schema.get("type"))
        if kind == "object":
            return {name: self.example(inner) for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            return [self.example(schema["items"])]
        return _EXAMPLES_BY_FORMAT.get(schema.get("format", ""), schema.get("minimum", _EXAMPLES_BY_TYPE.get(kind)))
