"""Mutants of the schemas of an OpenAPI document."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mutants import BREAKING, DELETED, RISKY, SAFE, Found, Json, Mutant, operations_of
from restwell._api._changes import Direction, Level

REQUEST, RESPONSE = Direction
BIG: Final = 10**9
REF: Final = "#/components/schemas/"


@dataclass(frozen=True)
class Site:
    """A place of a schema, and the directions in which clients meet it."""

    parent: Any
    key: Any
    pointer: str
    directions: set[Direction]

    @property
    def schema(self) -> Json:
        schema: Json = self.parent[self.key]
        return schema

    def level(self, request: Level | None, response: Level | None) -> Level | None:
        """The most severe level of the directions."""
        levels = {REQUEST: request, RESPONSE: response}
        found = [level for direction in self.directions if (level := levels[direction]) is not None]
        return min(found, key=list(Level).index, default=None)


def sites_of(document: Json) -> list[Site]:
    """Each place of a schema once."""
    components = document["components"]["schemas"]
    sites: dict[tuple[int, Any], Site] = {}

    def visit(parent: Any, key: Any, pointer: str, direction: Direction) -> None:
        site = sites.setdefault((id(parent), key), Site(parent, key, pointer, set()))
        if direction not in site.directions:
            site.directions.add(direction)
            if "$ref" in site.schema:
                name = site.schema["$ref"].removeprefix(REF)
                visit(components, name, name, direction)
            for inner, nested, suffix in _nested(site.schema):
                visit(inner, nested, pointer + suffix, direction)

    for label, _, _, operation in operations_of(document):
        for parameter in operation.get("parameters", ()):
            visit(parameter, "schema", f"{label} {parameter['name']}", REQUEST)
        for media_type in operation.get("requestBody", {}).get("content", {}).values():
            visit(media_type, "schema", f"{label} body", REQUEST)
        for status, response in operation["responses"].items():
            for media_type in response.get("content", {}).values():
                visit(media_type, "schema", f"{label} {status}", RESPONSE)
    return list(sites.values())


def _nested(schema: Json) -> Iterator[tuple[Any, Any, str]]:
    """The places of schemas within a schema."""
    for name in schema.get("properties", {}):
        yield schema["properties"], name, f".{name}"
    for keyword in ("anyOf", "oneOf", "prefixItems"):
        for index in range(len(schema.get(keyword, ()))):
            yield schema[keyword], index, f"/{keyword}/{index}"
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), dict):
            yield schema, keyword, f"/{keyword}"


def mutants_of_schemas(document: Json) -> Iterator[Mutant]:
    sites = sites_of(document)
    of_unions = {site.schema["$ref"] for site in sites if isinstance(site.parent, list) and "$ref" in site.schema}
    for site in sites:
        schema = site.schema
        for kind, edits, level in (
            *_of_annotations(schema),
            *_of_alternatives(site, schema),
            *_of_values(site, schema),
            *_of_limits(site, schema),
            *(_of_objects(site, schema) if schema.get("type") == "object" else ()),
        ):
            if kind != "null added" or f"{REF}{site.key}" not in of_unions:  # such a union may have null
                yield Mutant(kind, site.pointer, edits, level)
    schemas = document["components"]["schemas"]
    for name in schemas:
        references = [site for site in sites if site.schema.get("$ref") == REF + name]
        edits = [(site.parent, site.key, {**site.schema, "$ref": f"{REF}Renamed{name}"}) for site in references]
        mappings = [
            (mapping, tag, f"{REF}Renamed{name}")
            for site in sites
            for mapping in [site.schema.get("discriminator", {}).get("mapping", {})]
            for tag, reference in mapping.items()
            if reference == REF + name
        ]
        yield Mutant("component renamed", name, (*edits, *mappings, (schemas, f"Renamed{name}", schemas[name])), None)


def _of_annotations(schema: Json) -> Found:
    if "default" in schema:
        yield "default changed", ((schema, "default", "another"),), RISKY
        yield "default removed", ((schema, "default", DELETED),), RISKY
    if "deprecated" not in schema:
        yield "deprecated", ((schema, "deprecated", True),), SAFE
    yield "described in other words", ((schema, "description", "other words"),), None
    yield "read only", ((schema, "readOnly", True),), RISKY


def _of_alternatives(site: Site, schema: Json) -> Found:
    arms = schema.get("anyOf") or schema.get("oneOf")
    if arms is None:
        if schema.get("type") != "null" and not isinstance(site.parent, list):
            value = {key: each for key, each in schema.items() if key != "default"}
            default = {"default": schema["default"]} if "default" in schema else {}
            nullable = {"anyOf": [value, {"type": "null"}], **default}
            yield "null added", ((site.parent, site.key, nullable),), site.level(SAFE, BREAKING)
        return
    key = "anyOf" if "anyOf" in schema else "oneOf"
    for arm in arms:
        rest = [other for other in arms if other is not arm]
        kind = "null removed" if arm == {"type": "null"} else "alternative removed"
        yield kind, ((schema, key, rest),), site.level(BREAKING, SAFE)
    if not any(arm.get("type") == "boolean" for arm in arms):
        more = [*arms, {"type": "boolean"}]
        yield "alternative added", ((schema, key, more),), site.level(SAFE, BREAKING)


def _of_values(site: Site, schema: Json) -> Found:
    if values := schema.get("enum"):
        if len(values) > 1:
            yield "value removed", ((schema, "enum", values[1:]),), site.level(BREAKING, SAFE)
        more = [*values, "another value" if isinstance(values[0], str) else BIG]
        yield "value added", ((schema, "enum", more),), site.level(SAFE, RISKY)
        return
    kind = schema.get("type")
    if kind in {"string", "integer", "number", "boolean", "array", "object"}:
        other = {"type": "boolean" if kind != "boolean" else "string"}
        yield "type changed", ((site.parent, site.key, other),), BREAKING
    if kind == "integer":
        wider = {**schema, "type": "number"}
        yield "integer to number", ((site.parent, site.key, wider),), site.level(SAFE, BREAKING)
    if kind == "string":
        if "format" in schema:
            yield "format changed", ((schema, "format", "another"),), BREAKING
            yield "format removed", ((schema, "format", DELETED),), site.level(SAFE, BREAKING)
        else:
            yield "format added", ((schema, "format", "hostname"),), site.level(BREAKING, SAFE)
        if "pattern" in schema:
            yield "pattern changed", ((schema, "pattern", "^x$"),), site.level(BREAKING, RISKY)
            yield "pattern removed", ((schema, "pattern", DELETED),), site.level(SAFE, RISKY)
        else:
            yield "pattern added", ((schema, "pattern", "^x$"),), site.level(BREAKING, SAFE)


def _of_limits(site: Site, schema: Json) -> Found:
    tighter, looser = site.level(BREAKING, SAFE), site.level(SAFE, RISKY)
    lower = {"string": "minLength", "integer": "minimum", "number": "minimum", "array": "minItems"}
    upper = {"string": "maxLength", "integer": "maximum", "number": "maximum", "array": "maxItems"}
    kind = schema.get("type", "")
    if "enum" in schema or kind not in lower:
        return
    least, most = lower[kind], upper[kind]
    if least in schema:
        yield "minimum raised", ((schema, least, schema[least] + 1),), tighter
        if least == "minimum" or schema[least] > 0:
            yield "minimum lowered", ((schema, least, schema[least] - 1),), looser
    else:
        yield "minimum added", ((schema, least, 5),), tighter
    if most in schema:
        yield "maximum lowered", ((schema, most, schema[most] - 1),), tighter
        yield "maximum raised", ((schema, most, schema[most] + 1),), looser
        yield "maximum removed", ((schema, most, DELETED),), looser
    else:
        yield "maximum added", ((schema, most, BIG),), tighter


def _of_objects(site: Site, schema: Json) -> Found:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    closed = schema.get("additionalProperties") is False
    is_open = schema.get("additionalProperties", True) is True
    gone = site.level(BREAKING if closed else RISKY, BREAKING)
    for name, described in properties.items():
        rest = {key: value for key, value in properties.items() if key != name}
        others = [each for each in required if each != name]
        without = ((schema, "properties", rest), (schema, "required", others))
        if is_open or closed:
            yield "property removed", without, gone
            renamed = ((schema, "properties", {**rest, f"{name}_2": described}), (schema, "required", others))
            yield "property renamed", renamed, gone
        if name in required:
            yield "made optional", ((schema, "required", others),), site.level(SAFE, BREAKING)
        else:
            yield "made required", ((schema, "required", [*required, name]),), site.level(BREAKING, SAFE)
    if not is_open and not closed:
        yield "closed", ((schema, "additionalProperties", False),), site.level(BREAKING, SAFE)
        return
    more = (schema, "properties", {**properties, "new": {"type": "integer"}})
    yield "property added", (more,), site.level(SAFE if closed else RISKY, RISKY if closed else SAFE)
    edits = (more, (schema, "required", [*required, "new"]))
    yield "required property added", edits, site.level(BREAKING, RISKY if closed else SAFE)
    if closed:
        yield "opened", ((schema, "additionalProperties", DELETED),), site.level(SAFE, RISKY)
    else:
        yield "closed", ((schema, "additionalProperties", False),), site.level(BREAKING, SAFE)
