"""Links of the OpenAPI document: the id in the response to ``POST /things`` is that of ``/things/{thing_id}``."""

from collections.abc import Mapping, Sequence

from restwell.web._endpoint import Endpoint
from restwell.web._openapi_schemas import REF, ComponentSchemas, Schema


def links_of(
    endpoint: Endpoint, others: Sequence[Endpoint], ids: Mapping[tuple[str, str], str], schemas: ComponentSchemas
) -> Schema:
    """The links of its successful response, by operation id. ``ids``: the operation ids by method and path."""
    if endpoint.method != "POST" or len(endpoint.returns) != 1 or not _has_id(endpoint.returns[0], schemas):
        return {}
    links = {}
    for other in others:
        added = [name for name in other.path_types if name not in endpoint.path_types]
        if len(added) == 1 and f"{other.path}/".startswith(f"{endpoint.path}/{{{added[0]}}}/"):
            name = ids[other.method, other.path]
            given = {each: f"$request.path.{each}" for each in endpoint.path_types}
            links[name] = {"operationId": name, "parameters": {**given, added[0]: "$response.body#/id"}}
    return links


def _has_id(kind: object, schemas: ComponentSchemas) -> bool:
    name = str(schemas.ref(kind).get("$ref", "")).removeprefix(REF)
    return "id" in schemas.components.get(name, {}).get("required", ())
