"""Builds the OpenAPI 3.1 document from the route table.

The docstring of a handler gives the summary and the description, its ``data``, ``filters`` and return types give the
schemas, and its guards give the security. ``raises=[...]`` on the route adds to the errors that follow from these.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from http import HTTPStatus
from operator import or_
from types import MappingProxyType
from typing import Any, Final

import msgspec

from restwell.edge._lifecycle import Lifecycle
from restwell.fields import SUNSET
from restwell.idempotency import HEADER
from restwell.rate_limits import Rate
from restwell.web._authentication import API_KEY_SCHEME
from restwell.web._endpoint import Endpoint
from restwell.web._forms import FORM
from restwell.web._guards import (
    guard_name,
    is_kit_guard,
    requires_role,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from restwell.web._idempotent import DESCRIPTION
from restwell.web._openapi_errors import ErrorResponses
from restwell.web._openapi_links import links_of
from restwell.web._openapi_schemas import BYTES, TEXT, UPLOAD, ComponentSchemas, Schema
from restwell.web._request import JSON, body_media_type
from restwell.web._token_endpoint import ClientCredentials
from restwell.web._uploads import MULTIPART
from restwell.web._webhooks import Webhook, describe_webhooks

CLIENT_CREDENTIALS_SCHEME: Final = "client_credentials"

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
TAGS: Final = {"Health": "Whether the process runs and can serve requests.", "Jobs": "Work in the background."}
"""The descriptions of the tags of the kit."""
_INTEGER_NOTE: Final = "Integers have no fraction and no exponent."
"""JSON Schema cannot express it: it accepts 1.0 as an integer."""


def operations(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Every documented operation: by tag in the order of the route table, then by path and method."""
    documented = [each for each in endpoints if each.include_in_schema]
    tags = list(dict.fromkeys(each.tags for each in documented))
    return sorted(documented, key=lambda each: (tags.index(each.tags), each.path, _METHODS.index(each.method)))


def operation_ids(endpoints: Iterable[Endpoint]) -> dict[tuple[str, str], str]:
    """The id of each operation: the name of its handler; its method and path if an earlier one has that name."""
    ids: dict[str, tuple[str, str]] = {}
    for each in endpoints:
        if each.include_in_schema:
            path = re.sub(r"\W+", "_", each.path.replace("{", "by_")).rstrip("_")
            unique = each.name if each.name not in ids else f"{each.method.lower()}{path}"
            ids[unique] = each.method, each.path
    return {key: name for name, key in ids.items()}


def authenticates(endpoint: Endpoint) -> bool:
    """Whether the route authenticates, also if sign-in is optional."""
    return any(map(is_kit_guard, endpoint.guards))


def openapi_document(
    endpoints: Iterable[Endpoint],
    *,
    title: str,
    version: str,
    description: str,
    client_credentials: ClientCredentials | None = None,
    types: Mapping[type, type] = MappingProxyType({}),
    url: str | None = None,
    lifecycle: Lifecycle | None = None,
    contact: str = "",
    license_id: str = "",
    tags: Mapping[str, str] = MappingProxyType({}),
    webhooks: Sequence[Webhook] = (),
) -> Schema:
    """Build the document. Without ``url``, the server URL is relative to the document.

    ``types``: the concrete types of declared ones, whose names they have in the document. ``lifecycle``: that of
    the version. ``contact``: an email address or a URL. ``license_id``: an SPDX expression. ``tags``: their
    descriptions.
    """
    endpoints = list(endpoints)
    documented, ids = operations(endpoints), operation_ids(endpoints)
    names = {each.__name__: declared.__name__ for declared, each in types.items()}
    schemas = _component_schemas(documented, names, [each.payload for each in webhooks])
    paths: dict[str, Schema] = {}
    schemes: dict[str, Any] = {}
    errors = ErrorResponses(schemas)
    for endpoint in documented:
        described = _describe(endpoint, schemas, errors, client_credentials)
        described["operationId"] = ids[endpoint.method, endpoint.path]
        if links := links_of(endpoint, documented, ids, schemas):
            described["responses"][str(endpoint.status_code)]["links"] = links
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
        schemes |= endpoint.auth.security if endpoint.auth is not None else {}
    if client_credentials is not None:
        schemes[CLIENT_CREDENTIALS_SCHEME] = _client_credentials_scheme(client_credentials)
    used = {
        scheme
        for path in paths.values()
        for operation_object in path.values()
        for requirement in operation_object["security"]
        for scheme in requirement
    }
    end = f"**{' '.join(lifecycle.sentences())}**" if lifecycle is not None else ""
    texts = [each for each in (end, description, _INTEGER_NOTE) if each]
    info: Schema = {"title": title, "version": version, "description": "\n\n".join(texts)}
    if contact:
        info["contact"] = {"url": contact} if "://" in contact else {"email": contact}
    if license_id:
        info["license"] = {"name": license_id, "identifier": license_id}
    used_tags = dict.fromkeys(tag for endpoint in documented for tag in endpoint.tags)
    sent = describe_webhooks(webhooks, schemas)
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": url or "/"}],
        "tags": [{"name": tag, **({"description": tags[tag]} if tag in tags else {})} for tag in used_tags],
        "paths": paths,
        **sent,
        "components": {
            "schemas": schemas.used_by({**paths, **sent}),
            "securitySchemes": {name: scheme for name, scheme in schemes.items() if name in used},
        },
    }


_SCHEMA_HINT: Final = (
    "use a Struct, a dataclass, a Pydantic model or builtin types; for chunks or server-sent events return a"
    " Stream[str], and for another framework's response use host= of kit.app"
)


def _component_schemas(
    documented: Sequence[Endpoint], names: Mapping[str, str], others: Sequence[type]
) -> ComponentSchemas:
    """The schemas of all types. Raises TypeError that names the route of a type without a schema."""
    try:
        kinds = [kind for endpoint in documented for kind in _schema_types(endpoint)]
        return ComponentSchemas([*kinds, *others], names)
    except (TypeError, NotImplementedError):
        for each in documented:
            try:
                ComponentSchemas(list(_schema_types(each)))
            except (TypeError, NotImplementedError) as error:
                fault = str(error).splitlines()[-1]
                raise TypeError(
                    f"{each.name} ({each.method} {each.path}) has a type without a schema: {fault}; {_SCHEMA_HINT}"
                ) from error
        raise


def _describe(
    endpoint: Endpoint, schemas: ComponentSchemas, errors: ErrorResponses, credentials: ClientCredentials | None
) -> Schema:
    summary, _, rest = endpoint.doc.partition("\n")
    described: Schema = {
        "tags": list(endpoint.tags),
        "summary": summary.rstrip("."),
        "parameters": list(_parameters(endpoint, schemas)),
        "responses": _responses(endpoint, schemas, errors),
        "security": [],
    }
    sentences = rest.split()
    if authenticates(endpoint):
        described["security"] = _security(endpoint, credentials)
        sentences += _authorization(endpoint, credentials)
    if custom := [guard_name(guard) for guard in endpoint.guards if not is_kit_guard(guard)]:
        sentences.append(f"Guarded by {', '.join(custom)}.")
    if isinstance(rate := endpoint.declared_rate, Rate):
        sentences.append(f"Rate limit: {rate.count} requests per {rate.seconds} seconds.")
    if endpoint.lifecycle is not None:
        described["deprecated"] = True
        sentences += endpoint.lifecycle.sentences()
        if endpoint.lifecycle.sunset_at is not None:
            described[SUNSET] = endpoint.lifecycle.sunset_at.isoformat()
    if sentences:
        described["description"] = " ".join(sentences)
    parameters = endpoint.parameters
    if parameters.data is not None:
        content = {body_media_type(endpoint.method): schemas.content(parameters.data)}
        described["requestBody"] = {"required": True, "content": content}
    if parameters.form is not None:
        described["requestBody"] = {"required": True, "content": {FORM: schemas.content(parameters.form)}}
    if parameters.upload:
        described["requestBody"] = {"required": True, "content": {MULTIPART: {"schema": UPLOAD}}}
    return described


def _security(endpoint: Endpoint, credentials: ClientCredentials | None) -> list[Schema]:
    """The security requirements, of which one suffices."""
    names = endpoint.auth.security if endpoint.auth is not None else {}
    schemes: list[Schema] = [{name: []} for name in names if name != API_KEY_SCHEME]
    if endpoint.parameters.optional_actor:
        schemes.insert(0, {})
    if API_KEY_SCHEME in names and (scopes := _key_scopes(endpoint)):
        schemes.append({API_KEY_SCHEME: scopes})
    if credentials is not None and (scopes := required_scopes(endpoint)):
        schemes.append({CLIENT_CREDENTIALS_SCHEME: scopes})
    return schemes


def _authorization(endpoint: Endpoint, credentials: ClientCredentials | None) -> Iterator[str]:
    """Sentences about who may call the operation."""
    if endpoint.parameters.optional_actor:
        yield "Signing in is optional."
    if roles := _roles(endpoint):
        yield f"Requires the role {' and '.join(roles)}."
    if scopes := _key_scopes(endpoint):
        accepts_clients = credentials is not None and required_scopes(endpoint)
        callers = "OAuth clients and API keys" if accepts_clients else "API keys"
        yield f"{callers} require the scope {' and '.join(scopes)}."


def _responses(endpoint: Endpoint, schemas: ComponentSchemas, errors: ErrorResponses) -> Schema:
    status = endpoint.status_code
    responses: Schema = {str(status): {"description": HTTPStatus(status).phrase}}
    if returned := _returned(endpoint):
        media_type = endpoint.media_type
        responses[str(status)]["content"] = (
            {JSON: schemas.content(*returned)}
            if media_type == JSON
            else {media_type: {"schema": TEXT if media_type.startswith("text/") else BYTES}}
        )
    if endpoint.cache is not None:
        responses["304"] = {"description": "Not modified: the cached copy is current."}
    for other, description in endpoint.other_responses.items():
        responses[str(other)] = {"description": description}
    return dict(sorted({**responses, **errors.of(endpoint)}.items()))


def _parameters(endpoint: Endpoint, schemas: ComponentSchemas) -> Iterator[Schema]:
    parameters = endpoint.parameters
    for name, kind in parameters.path.items():
        yield {"name": name, "in": "path", "required": True, "schema": schemas.ref(kind)}
    for header in parameters.headers.values():
        yield _header(header.name, header.description, required=header.required)
    if endpoint.idempotent:
        yield _header(HEADER, DESCRIPTION, required=True)
    if endpoint.cache is not None:
        yield _header("If-None-Match", "The ETag of the cached copy. The response is 304 while it is current.")
    if parameters.filters is not None:
        component = schemas.parameters_of(parameters.filters)
        required = component.get("required", ())
        for name, property_ in component["properties"].items():
            schema = _without_null(property_)
            moved = {"description": schema.pop("description", "")}
            moved |= {key: schema.pop(key) for key in ("deprecated", SUNSET) if key in schema}
            yield {"name": name, "in": "query", "required": name in required, **moved, "schema": schema}


def _header(name: str, description: str, *, required: bool = False) -> Schema:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


def _without_null(schema: Schema) -> Schema:
    """Remove ``null`` from a query parameter. A missing one is None in the handler, but null is not a valid value."""
    arms = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    return {**arms[0]} if len(arms) == 1 else {**schema}


def _schema_types(endpoint: Endpoint) -> Iterator[Any]:
    """The types whose schemas an operation refers to."""
    parameters = endpoint.parameters
    yield endpoint.errors.schema
    yield from (each for each in (parameters.data, parameters.filters, parameters.form) if each is not None)
    yield from _returned(endpoint)
    yield from parameters.path.values()


def _returned(endpoint: Endpoint) -> Sequence[Any]:
    """The body types of the successful response."""
    kinds = endpoint.returns
    if len(kinds) > 1:
        union = reduce(or_, kinds)
        with suppress(TypeError):  # untagged Structs have no union schema
            msgspec.json.schema_components([union])
            return [union]
    return kinds


def required_scopes(endpoint: Endpoint) -> list[str]:
    """The scopes that machine clients require. Empty if they are not allowed."""
    return _scopes(endpoint, requires_role, signed_in_or_scope)


def _key_scopes(endpoint: Endpoint) -> list[str]:
    """The scopes that API keys require. Empty if they are not allowed."""
    return _scopes(endpoint, requires_role, signed_in_or_scope, signed_in_or_api_key)


def _scopes(endpoint: Endpoint, *kinds: type) -> list[str]:
    """The scopes of the guards, or none if one of them is of another kind or names none: it refuses the caller."""
    scopes: list[str] = []
    for guard in filter(is_kit_guard, endpoint.guards):
        scope: str | None = getattr(guard, "scope", None) if isinstance(guard, kinds) else None
        if scope is None:
            return []
        scopes.append(scope)
    return scopes


def _roles(endpoint: Endpoint) -> list[str]:
    """The roles of each guard that requires one."""
    return [" or ".join(guard.roles) for guard in endpoint.guards if isinstance(guard, requires_role)]


def _client_credentials_scheme(credentials: ClientCredentials) -> Schema:
    flow = {"tokenUrl": credentials.token_path, "scopes": dict(credentials.scopes)}
    return {"type": "oauth2", "flows": {"clientCredentials": flow}}
