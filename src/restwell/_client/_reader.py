"""Reads the description of an API from an OpenAPI document that ``restwell._api._documents`` has checked."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from restwell._api._documents import REF
from restwell._client._model import (
    AliasSchema,
    Api,
    Body,
    EnumSchema,
    ErrorCode,
    ListOf,
    Literals,
    MapOf,
    Nullable,
    ObjectSchema,
    Operation,
    Page,
    Parameter,
    Plain,
    Property,
    Ref,
    Schema,
    Success,
    TupleOf,
    Type,
    UnionOf,
)
from restwell.errors import ConfigurationError

Json = Mapping[str, Any]

_OF_THE_OPERATION: Final = {"idempotency-key", "if-match", "if-none-match"}
_NULL: Final = Plain("null")
_ACCESS, _REFRESH = "access_token", "refresh_token"


def read_api(document: Json) -> Api:
    """Describe the API. Raises ConfigurationError for what a client cannot be made of."""
    components: Json = document.get("components", {})
    schemas = {name: _schema(name, schema) for name, schema in components.get("schemas", {}).items()}
    described = [_operation(method, path, item, schemas) for path, item in document["paths"].items() for method in item]
    if repeated := {each.id for each in described if [other.id for other in described].count(each.id) > 1}:
        raise ConfigurationError([f"operationId {name}: more than one operation has it" for name in sorted(repeated)])
    info, schemes = document.get("info", {}), components.get("securitySchemes", {}).values()
    code_property, errors = _errors(document["paths"])
    return Api(
        title=info.get("title", "API"),
        description=info.get("description", ""),
        operations=tuple(described),
        schemas=tuple(schemas.values()),
        errors=errors,
        code_property=code_property,
        refresh=next((each.path for each in described if _refreshes(each, schemas)), None),
        tokens=next((name for each in described for name in _token_schemas(each, schemas)), None),
        token_url=next((flow["tokenUrl"] for flow in _flows(schemes) if "tokenUrl" in flow), None),
        scheme=next((each["scheme"].capitalize() for each in schemes if each["type"] == "http"), "Bearer"),
    )


def _schema(name: str, schema: Json) -> Schema:
    description = schema.get("description", "")
    values = schema.get("enum", ())
    if values and all(isinstance(value, str) for value in values):
        return EnumSchema(name=name, description=description, values=tuple(values))
    if "properties" not in schema:
        return AliasSchema(name=name, description=description, type=_type(schema))
    required = schema.get("required", ())
    properties = tuple(
        Property(
            name=key,
            type=_type(inner),
            required=key in required,
            description=inner.get("description", ""),
            deprecated=inner.get("deprecated", False),
        )
        for key, inner in schema["properties"].items()
    )
    tags = [(key, value) for key in required if (value := _only_value(schema["properties"].get(key, {}))) is not None]
    tag_property, tag = tags[0] if tags else (None, None)
    return ObjectSchema(name=name, description=description, properties=properties, tag_property=tag_property, tag=tag)


def _only_value(schema: Json) -> str | None:
    values = schema.get("enum", [schema["const"]] if "const" in schema else ())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _type(schema: Json) -> Type:
    """The type of a schema. Bounds and patterns are left to the API, which checks them."""
    if "$ref" in schema:
        return Ref(schema["$ref"].removeprefix(REF))
    if arms := schema.get("anyOf") or schema.get("oneOf"):
        return _union([_type(arm) for arm in arms], schema.get("discriminator", {}).get("propertyName"))
    if "enum" in schema or "const" in schema:
        values = tuple(schema.get("enum", [schema.get("const")]))
        rest = tuple(value for value in values if value is not None)
        return Literals(values) if len(rest) in {0, len(values)} else Nullable(Literals(rest))
    return _of_json_type(schema)


def _of_json_type(schema: Json) -> Type:
    kind = schema.get("type")
    if "prefixItems" in schema:
        return TupleOf(tuple(_type(item) for item in schema["prefixItems"]))
    if kind == "array":
        return ListOf(_inner(schema.get("items")))
    if kind == "object":
        patterns = list(schema.get("patternProperties", {}).values())
        return MapOf(_inner(patterns[0] if len(patterns) == 1 else schema.get("additionalProperties")))
    encoded = "byte" if schema.get("contentEncoding") == "base64" else ""
    return Plain(kind or "any", schema.get("format", encoded) if kind == "string" else "")


def _inner(schema: Any) -> Type:
    return _type(schema) if isinstance(schema, dict) else Plain("any")


def _union(arms: list[Type], discriminator: str | None) -> Type:
    rest = tuple(dict.fromkeys(arm for arm in arms if arm != _NULL))
    found = rest[0] if len(rest) == 1 else UnionOf(rest, discriminator)
    return Nullable(found) if _NULL in arms else found


def _operation(method: str, path: str, item: Json, schemas: Mapping[str, Schema]) -> Operation:
    declared = item[method]
    where = f"{method.upper()} {path}"
    if "operationId" not in declared:
        raise ConfigurationError([f"{where}: has no operationId, so its function in the client would have no name"])
    parameters: list[Json] = declared.get("parameters", [])
    headers = {each["name"].lower() for each in parameters if each["in"] == "header"}
    needed = [each["name"] for each in parameters if each["in"] == "cookie" and each.get("required")]
    if needed:
        raise ConfigurationError([f"{where}: needs the cookie {needed[0]}, which clients do not send"])
    if strange := [status for status in declared["responses"] if not status.isdigit()]:
        raise ConfigurationError([f"{where}: the status {strange[0]} is no number"])
    successes = tuple(_successes(declared["responses"]))
    own = tuple(_parameter(each) for each in parameters if _is_own(each))
    tagged = any(_needs_tag(other) for other in item.values()) and method in {"get", "put", "patch"}
    tokens = any(True for success in successes for _ in _tokens_in(success.type, schemas))
    body = _body(declared["requestBody"], where) if "requestBody" in declared else None
    return Operation(
        id=declared["operationId"],
        method=method,  # type: ignore[arg-type]  # the document has been checked
        path=path,
        tag=next(iter(declared.get("tags", ())), ""),
        description="\n\n".join(filter(None, (declared.get("summary"), declared.get("description")))),
        deprecated=declared.get("deprecated", False),
        parameters=own,
        body=body,
        successes=successes,
        errors={
            int(status): tuple(_codes(response)[1])
            for status, response in declared["responses"].items()
            if int(status) >= 400
        },
        page=_page(own, successes, schemas),
        idempotent="idempotency-key" in headers,
        if_match="if-match" in headers,
        tagged=tagged and any(success.kind == "json" for success in successes),
        authenticated=any(declared.get("security", ())),
        signs_in=tokens and not _takes_refresh_token(body, schemas),
    )


def _is_own(parameter: Json) -> bool:
    if parameter["in"] == "header":
        return parameter["name"].lower() not in _OF_THE_OPERATION
    return bool(parameter["in"] != "cookie")


def _needs_tag(operation: Json) -> bool:
    return any(each["name"].lower() == "if-match" for each in operation.get("parameters", ()))


def _parameter(declared: Json) -> Parameter:
    return Parameter(
        name=declared["name"],
        place=declared["in"],
        type=_type(declared["schema"]),
        required=declared.get("required", False),
        description=declared.get("description", ""),
        deprecated=declared.get("deprecated", False),
    )


def _body(declared: Json, where: str) -> Body:
    media_type, content = min(declared["content"].items(), key=lambda each: not _is_json(each[0]))
    schema, required = content["schema"], declared.get("required", False)
    if media_type == "multipart/form-data":
        parts = list(schema.get("properties", ()))
        if len(parts) != 1:
            raise ConfigurationError([f"{where}: a multipart body of {len(parts)} parts, not of one file"])
        return Body(
            kind="file", media_type=media_type, type=Plain("string", "binary"), required=required, part=parts[0]
        )
    if media_type == "application/x-www-form-urlencoded":
        return Body(kind="form", media_type=media_type, type=_type(schema), required=required)
    return Body(kind=_kind(media_type), media_type=media_type, type=_type(schema), required=required)


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].endswith(("/json", "+json"))


def _kind(media_type: str) -> Any:
    return "json" if _is_json(media_type) else "text" if media_type.startswith("text/") else "bytes"


def _successes(responses: Json) -> Iterator[Success]:
    """The responses that are no errors. 304 is none of them, because clients send no ``If-None-Match``."""
    for status, response in sorted(responses.items()):
        content = response.get("content", {})
        if status >= "4" or status == "304":
            continue
        if status.startswith("3"):
            yield Success(status=int(status), kind="redirect", type=Plain("string"))
        elif content:
            media_type, found = min(content.items(), key=lambda each: not _is_json(each[0]))
            yield Success(status=int(status), kind=_kind(media_type), type=_type(found["schema"]))
        else:
            yield Success(status=int(status), kind="none")


def _page(
    parameters: tuple[Parameter, ...], successes: tuple[Success, ...], schemas: Mapping[str, Schema]
) -> Page | None:
    """The page that the one response is. All arms of a union must be pages with the same properties."""
    queries = {each.name for each in parameters if each.place == "query"}
    if len(successes) != 1 or queries.isdisjoint({"cursor", "offset"}):
        return None
    kind = successes[0].type
    arms = [_page_of(arm, queries, schemas) for arm in (kind.arms if isinstance(kind, UnionOf) else (kind,))]
    pages = [arm for arm in arms if arm is not None]
    if len(pages) != len(arms) or len({(each.items, each.next, each.form) for each in pages}) != 1:
        return None
    item = _union([page.item for page in pages], None)
    first = pages[0]
    return Page(items=first.items, item=item, next=first.next, form=first.form, parameter=first.parameter)


def _page_of(kind: Type, queries: set[str], schemas: Mapping[str, Schema]) -> Page | None:
    properties = {each.name: each.type for each in _properties(kind, schemas) if each.required}
    lists = [(name, each.items) for name, each in properties.items() if isinstance(each, ListOf)]
    if len(lists) != 1:
        return None
    items, item = lists[0]
    parameter = "cursor" if "cursor" in queries else "offset"
    if parameter == "offset" and properties.get("has_more") == Plain("boolean"):
        return Page(items=items, item=item, next="has_more", form="more", parameter=parameter)
    following = [name for name, each in properties.items() if each == Nullable(Plain("string"))]
    if len(following) != 1:
        return None
    form: Any = "value" if following[0] == "next_cursor" else "path"
    return Page(items=items, item=item, next=following[0], form=form, parameter=parameter)


def _properties(kind: Type, schemas: Mapping[str, Schema]) -> tuple[Property, ...]:
    schema = schemas.get(kind.name) if isinstance(kind, Ref) else None
    return schema.properties if isinstance(schema, ObjectSchema) else ()


def _tokens_in(kind: Type, schemas: Mapping[str, Schema]) -> Iterator[str]:
    """The names of the schemas with an access token and a refresh token."""
    for arm in kind.arms if isinstance(kind, UnionOf) else (kind,):
        if isinstance(arm, Ref) and {_ACCESS, _REFRESH} <= {each.name for each in _properties(arm, schemas)}:
            yield arm.name


def _token_schemas(operation: Operation, schemas: Mapping[str, Schema]) -> Iterator[str]:
    return (name for success in operation.successes for name in _tokens_in(success.type, schemas))


def _takes_refresh_token(body: Body | None, schemas: Mapping[str, Schema]) -> bool:
    return body is not None and any(each.name == _REFRESH for each in _properties(body.type, schemas))


def _refreshes(operation: Operation, schemas: Mapping[str, Schema]) -> bool:
    return _takes_refresh_token(operation.body, schemas) and any(True for _ in _token_schemas(operation, schemas))


def _flows(schemes: Any) -> Iterator[Json]:
    return (scheme.get("flows", {}).get("clientCredentials", {}) for scheme in schemes)


def _codes(response: Json) -> tuple[str, dict[str, str]]:
    """The member of the error that has its code, and the messages by code."""
    for content in response.get("content", {}).values():
        for name, values in content["schema"].get("properties", {}).items():
            examples = content.get("examples", {})
            return name, {code: examples.get(code, {}).get("summary", "") for code in values.get("enum", ())}
    return "code", {}


def _errors(paths: Json) -> tuple[str, tuple[ErrorCode, ...]]:
    """Every code of the document, in order of its name, with the first message found."""
    members: list[str] = []
    messages: dict[str, str] = {}
    statuses: dict[str, set[int]] = {}
    for operation in (operation for item in paths.values() for operation in item.values()):
        for status, response in operation["responses"].items():
            if status < "4":
                continue
            member, codes = _codes(response)
            members.extend([member] * bool(codes))
            for code, message in codes.items():
                messages.setdefault(code, message)
                statuses.setdefault(code, set()).add(int(status))
    found = tuple(
        ErrorCode(code=code, message=messages[code], statuses=tuple(sorted(statuses[code])))
        for code in sorted(messages)
    )
    return (members or ["code"])[0], found
