"""The subset of OpenAPI 3.1 that the comparison covers: what this kit emits. Anything else is refused, not ignored."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

Schema = Mapping[str, Any]
AnySchema = Schema | bool

REF: Final = "#/components/schemas/"
METHODS: Final = ("get", "post", "put", "patch", "delete")

_Check = Callable[[Any, str, frozenset[str]], Iterator[str]]
"""Yields the faults of a value at a JSON pointer. The last argument is the names of the component schemas."""


def faults_of(document: Any) -> Iterator[str]:
    """Each part of a document that the comparison does not cover, with its JSON pointer."""
    schemas = document.get("components", {}) if isinstance(document, dict) else {}
    names = schemas.get("schemas", {}) if isinstance(schemas, dict) else {}
    faults = list(_DOCUMENT(document, "", frozenset(names if isinstance(names, dict) else ())))
    yield from faults or _unknown_security_schemes(document)


def parse_instant(text: str) -> datetime:
    """Parse ``x-sunset``: an ISO 8601 date or time. A date is its first second in UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _unknown_security_schemes(document: Mapping[str, Any]) -> Iterator[str]:
    known = document.get("components", {}).get("securitySchemes", {})
    for path, item in document["paths"].items():
        for method, operation in item.items():
            used = {name for requirement in operation.get("security", ()) for name in requirement}
            for name in sorted(used.difference(known)):
                yield f"{_pointer(_pointer('/paths', path), method)}/security: the scheme {name} does not exist"


def _pointer(parent: str, key: str) -> str:
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"


def _any(_value: Any, _pointer: str, _names: frozenset[str]) -> Iterator[str]:
    yield from ()


def _is(*kinds: type) -> _Check:
    def check(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield f"{pointer}: {type(value).__name__} instead of {' or '.join(kind.__name__ for kind in kinds)}"

    return check


def _count(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        yield f"{pointer}: not a count"


def _positive(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        yield f"{pointer}: not a positive number"


def _one_of(*values: Any) -> _Check:
    def check(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
        if value not in values or isinstance(value, bool) is not isinstance(values[0], bool):
            yield f"{pointer}: {value!r} is not covered, only {', '.join(map(str, values))}"

    return check


def _instant(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
    try:
        parse_instant(value)
    except (TypeError, ValueError):
        yield f"{pointer}: not a date or time in ISO 8601"


def _list(check: _Check) -> _Check:
    def check_list(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{pointer}: not a list"
            return
        for index, item in enumerate(value):
            yield from check(item, f"{pointer}/{index}", names)

    return check_list


def _map(check: _Check) -> _Check:
    def check_map(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{pointer}: not an object"
            return
        for key, item in value.items():
            yield from check(item, _pointer(pointer, key), names)

    return check_map


def _object(fields: Mapping[str, _Check], required: tuple[str, ...] = ()) -> _Check:
    def check_object(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{pointer}: not an object"
            return
        for key in required:
            if key not in value:
                yield f"{pointer}: {key} is missing"
        for key, item in value.items():
            if key in fields:
                yield from fields[key](item, _pointer(pointer, key), names)
            else:
                yield f"{_pointer(pointer, key)}: not covered by the comparison"

    return check_object


def _reference(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
    if not isinstance(value, str) or not value.startswith(REF):
        yield f"{pointer}: not a reference to a component schema"
    elif value.removeprefix(REF) not in names:
        yield f"{pointer}: {value} does not exist"


def _schema(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
    """A schema has the keywords of its type: those of another type would have no effect."""
    fields = _ANNOTATIONS
    if isinstance(value, dict):
        if "anyOf" in value or "oneOf" in value:
            arms = "anyOf" if "anyOf" in value else "oneOf"
            fields = {**_ANNOTATIONS, arms: _list(_schema), "discriminator": _DISCRIMINATOR}
            if arms == "oneOf" and "discriminator" not in value:
                yield f"{pointer}/oneOf: not covered without a discriminator"
        elif "$ref" in value:
            fields = {**_ANNOTATIONS, "$ref": _reference}
        elif "type" in value:
            kind = value["type"]
            fields = {**_ANNOTATIONS, **(_BY_TYPE.get(kind, {}) if isinstance(kind, str) else {}), **_VALUES}
        else:
            fields = {**_ANNOTATIONS, **_VALUES}
    yield from _object(fields)(value, pointer, names)


def _schema_or_boolean(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
    if not isinstance(value, bool):
        yield from _schema(value, pointer, names)


def _scalar(value: Any, pointer: str, _names: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict | list):
        yield f"{pointer}: lists and objects are not covered as values"


_LIFECYCLE: Final[Mapping[str, _Check]] = {"deprecated": _is(bool), "x-sunset": _instant}
_ANNOTATIONS: Final[Mapping[str, _Check]] = {
    **_LIFECYCLE,
    **dict.fromkeys(("title", "description"), _is(str)),
    **dict.fromkeys(("readOnly", "writeOnly"), _is(bool)),
    "default": _any,
    "examples": _any,
}
_NUMBER: Final[Mapping[str, _Check]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is(int, float)),
    "multipleOf": _positive,
}
_BY_TYPE: Final[Mapping[str, Mapping[str, _Check]]] = {
    "null": {},
    "boolean": {},
    "integer": _NUMBER,
    "number": _NUMBER,
    "string": {
        **dict.fromkeys(("minLength", "maxLength"), _count),
        **dict.fromkeys(("pattern", "format", "contentMediaType", "contentEncoding"), _is(str)),
    },
    "array": {
        **dict.fromkeys(("minItems", "maxItems"), _count),
        "uniqueItems": _is(bool),
        "items": _schema_or_boolean,
        "prefixItems": _list(_schema),
    },
    "object": {
        **dict.fromkeys(("minProperties", "maxProperties"), _count),
        "properties": _map(_schema),
        "patternProperties": _map(_schema),
        "required": _list(_is(str)),
        "additionalProperties": _schema_or_boolean,
        "propertyNames": _schema,
    },
}
_VALUES: Final[Mapping[str, _Check]] = {"type": _one_of(*_BY_TYPE), "enum": _list(_scalar), "const": _scalar}
_DISCRIMINATOR: Final = _object({"propertyName": _is(str), "mapping": _map(_reference)}, ("propertyName",))
_MEDIA_TYPE: Final = _object({"schema": _schema, "example": _any, "examples": _map(_any)}, ("schema",))
_CODES: Final = _map(_object({"enum": _list(_is(str))}, ("enum",)))


def _media_type(value: Any, pointer: str, names: frozenset[str]) -> Iterator[str]:
    """The schema of an error may list its codes beside the reference: the names of its examples, which are compared."""
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, dict) or "$ref" not in schema or "properties" not in schema:
        yield from _MEDIA_TYPE(value, pointer, names)
        return
    where = f"{pointer}/schema/properties"
    faults = list(_CODES(schema["properties"], where, names))
    yield from faults
    for name, codes in schema["properties"].items() if not faults else ():
        if codes["enum"] != list(value.get("examples", ())):
            yield f"{_pointer(where, name)}/enum: only the names of the examples are covered"
    reference = {key: item for key, item in schema.items() if key != "properties"}
    yield from _MEDIA_TYPE({**value, "schema": reference}, pointer, names)


_MEDIA_TYPES: Final = _map(_media_type)
_PARAMETER: Final = _object(
    {
        **_LIFECYCLE,
        "name": _is(str),
        "in": _one_of("path", "query", "header", "cookie"),
        "required": _is(bool),
        "description": _is(str),
        "schema": _schema,
        "style": _is(str),
        "explode": _is(bool),
        "example": _any,
        "examples": _any,
    },
    ("name", "in", "schema"),
)
_HEADER_PARAMETER: Final = _object(
    {
        "name": _is(str),
        "in": _one_of("header"),
        "required": _is(bool),
        "description": _is(str),
        "schema": _schema,
    },
    ("name", "in", "schema"),
)
_HEADER: Final = _object(
    {
        **_LIFECYCLE,
        "description": _is(str),
        "required": _is(bool),
        "schema": _schema,
        "example": _any,
        "examples": _any,
    },
    ("schema",),
)
_LINK: Final = _object({"operationId": _is(str), "parameters": _map(_is(str))}, ("operationId",))
"""Not compared: a link follows from the operations, and no request or response depends on it."""
_RESPONSE: Final = _object(
    {"description": _is(str), "content": _MEDIA_TYPES, "headers": _map(_HEADER), "links": _map(_LINK)}
)
_OPERATION: Final = _object(
    {
        **_LIFECYCLE,
        **dict.fromkeys(("operationId", "summary", "description"), _is(str)),
        "tags": _list(_is(str)),
        "parameters": _list(_PARAMETER),
        "requestBody": _object({"required": _is(bool), "description": _is(str), "content": _MEDIA_TYPES}, ("content",)),
        "responses": _map(_RESPONSE),
        "security": _list(_map(_list(_is(str)))),
    },
    ("responses",),
)
_REQUIRED: Final = (True,)
_WEBHOOK: Final = _object(
    {
        **dict.fromkeys(("operationId", "summary", "description"), _is(str)),
        "parameters": _list(_HEADER_PARAMETER),
        "requestBody": _object(
            {
                "required": _one_of(*_REQUIRED),
                "content": _object({"application/json": _MEDIA_TYPE}, ("application/json",)),
            },
            ("required", "content"),
        ),
        "responses": _object({"2XX": _object({"description": _is(str)})}, ("2XX",)),
        "security": _one_of([]),
    },
    ("requestBody", "responses"),
)
_FLOW: Final = _object(
    {**dict.fromkeys(("tokenUrl", "authorizationUrl", "refreshUrl"), _is(str)), "scopes": _map(_is(str))}
)
_SECURITY_SCHEME: Final = _object(
    {
        "type": _one_of("http", "apiKey", "oauth2", "openIdConnect"),
        **dict.fromkeys(("scheme", "bearerFormat", "in", "name", "openIdConnectUrl", "description"), _is(str)),
        "flows": _map(_FLOW),
    },
    ("type",),
)
_DOCUMENT: Final = _object(
    {
        "openapi": _one_of("3.1.0", "3.1.1", "3.1.2"),
        "info": _any,
        "servers": _list(_object({"url": _is(str), "description": _is(str)}, ("url",))),
        "tags": _any,
        "paths": _map(_object(dict.fromkeys(METHODS, _OPERATION))),
        "webhooks": _map(_object({"post": _WEBHOOK}, ("post",))),
        "components": _object({"schemas": _map(_schema), "securitySchemes": _map(_SECURITY_SCHEME)}),
    },
    ("openapi", "paths"),
)
