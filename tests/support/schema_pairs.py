"""Pairs of JSON Schemas that differ a little, and values near their limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Json = dict[str, Any]
NAMES: Final = ("a", "b", "kind")
COMPONENTS: Final = ("One", "Two")
TEXTS: Final = ("", "a", "ab", "abc", "2026-01-31", "018f0000-abcd-7000-8000-000000000001")
NUMBERS: Final = (-1, 0, 1, 2, 3, 6, 1.0, 1.5)
SCALARS: Final = (*TEXTS, *NUMBERS, None, True, False)
small: Final = st.integers(0, 3)


@dataclass(frozen=True)
class SchemaPair:
    old: Json
    new: Json
    old_components: Json
    new_components: Json


@st.composite
def schema_pairs(draw: DrawFn) -> SchemaPair:
    # Objects and arrays, so that no component is an alternative of itself: a validator would never end.
    old_components = {name: draw(_objects(schemas(depth=0)) | _arrays(schemas(depth=0))) for name in COMPONENTS}
    new_components = {**old_components}
    if draw(st.integers(0, 2)) == 0:
        new_components["One"] = draw(_with_keyword(old_components["One"]))
    old = draw(schemas(depth=2))
    new = draw(edited(old))
    return SchemaPair(old, new, old_components, new_components)


@st.composite
def scalar_pairs(draw: DrawFn) -> tuple[Json, Json]:
    """Two schemas of text, numbers and constants, alone or as alternatives. Each value of SCALARS is near a limit."""
    old = draw(_numbers() | _simple())
    return old, draw(_edit(old) | edited(old) | _numbers())


def schemas(depth: int) -> SearchStrategy[Json]:
    if not depth:
        return _simple() | _simple() | st.sampled_from([_ref(name) for name in COMPONENTS])
    inner = schemas(depth - 1)
    return st.one_of(_simple(), _arrays(inner), _objects(inner), _objects(inner), _unions(inner), _tagged(inner))


@st.composite
def edited(draw: DrawFn, schema: Json) -> Json:
    """The schema with one or two small changes."""
    result = schema
    for _ in range(draw(st.integers(1, 2))):
        result = draw(_edit(result))
    return result


@st.composite
def _edit(draw: DrawFn, schema: Json) -> Json:
    """One change, here or in a nested schema."""
    nested = [
        *(("properties", name) for name in schema.get("properties", {})),
        *(("patternProperties", name) for name in schema.get("patternProperties", {})),
        *(("anyOf", index) for index in range(len(schema.get("anyOf", ())))),
        *(("prefixItems", index) for index in range(len(schema.get("prefixItems", ())))),
        *((key, None) for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)),
    ]
    if draw(st.booleans()) and nested:
        keyword, key = draw(st.sampled_from(nested))
        if key is None:
            return {**schema, keyword: draw(_edit(schema[keyword]))}
        inner = schema[keyword].copy()
        inner[key] = draw(_edit(inner[key]))
        return {**schema, keyword: inner}
    return draw(draw(st.sampled_from([_with_keyword, _without_keyword, _nullable, _replaced]))(schema))


@st.composite
def _with_keyword(draw: DrawFn, schema: Json) -> Json:
    """Set a keyword of the type to another value, in the direction of more or less values."""
    kind = "enum" if "enum" in schema else schema.get("type", "")
    others = {"string": _strings(), "integer": _numbers(), "number": _numbers(), "enum": _enums()}
    if kind == "object":
        return draw(_edited_object(schema))
    if kind == "array":
        return {**schema, **draw(_sizes("minItems", "maxItems")), "uniqueItems": draw(st.booleans())}
    if kind not in others:
        return schema
    other = draw(others[kind])
    keys = draw(st.lists(st.sampled_from(sorted(other)), unique=True, min_size=1))
    return {**schema, **{key: other[key] for key in keys}}


@st.composite
def _edited_object(draw: DrawFn, schema: Json) -> Json:
    properties, required = dict(schema.get("properties", {})), list(schema.get("required", ()))
    name = draw(st.sampled_from(NAMES))
    match draw(st.sampled_from(["property", "required", "others", "size"])):
        case "property" if name in properties:
            del properties[name]
            required = [each for each in required if each != name]
        case "property":
            properties[name] = draw(schemas(depth=0))
        case "required":
            required = [each for each in required if each != name] if name in required else [*required, name]
        case "size":
            return {**schema, **draw(_sizes("minProperties", "maxProperties"))}
        case _:
            return {**schema, "additionalProperties": draw(st.booleans() | schemas(depth=0))}
    return {**schema, "properties": properties, "required": required}


@st.composite
def _without_keyword(draw: DrawFn, schema: Json) -> Json:
    fixed = {"type", "anyOf", "$ref", "enum", "discriminator", "properties"}
    keywords = sorted(schema.keys() - fixed)
    if not keywords:
        return schema
    removed = draw(st.sampled_from(keywords))
    return {key: value for key, value in schema.items() if key != removed}


@st.composite
def _nullable(draw: DrawFn, schema: Json) -> Json:
    """Add an alternative, or remove one."""
    arms = schema.get("anyOf")
    if arms is None:
        return {"anyOf": draw(st.permutations([schema, draw(_simple())]))}
    if draw(st.booleans()) or len(arms) == 1:
        return {**schema, "anyOf": draw(st.permutations([*arms, {"type": "null"}]))}
    return {**schema, "anyOf": arms[1:]}


@st.composite
def _replaced(draw: DrawFn, _schema: Json) -> Json:
    return draw(_simple())


@st.composite
def values(draw: DrawFn, schema: Any, components: Mapping[str, Json], depth: int = 3) -> Any:
    """Mostly valid values: of each property, some are missing, and some have a value of another schema."""
    if isinstance(schema, bool) or not depth or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(SCALARS))
    strategy: SearchStrategy[Any]
    match schema:
        case {"$ref": reference}:
            strategy = values(components[reference.rpartition("/")[2]], components, depth - 1)
        case {"anyOf": alternatives}:
            strategy = values(draw(st.sampled_from(alternatives)), components, depth)
        case {"enum": constants}:
            strategy = st.sampled_from(constants)
        case {"type": "object"}:
            strategy = _object_values(schema, components, depth)
        case {"type": "array"}:
            strategy = _array_values(schema, components, depth)
        case {"type": "string"}:
            strategy = st.sampled_from(TEXTS)
        case {"type": "integer" | "number"}:
            strategy = st.sampled_from(NUMBERS)
        case _:
            strategy = st.sampled_from(SCALARS)
    return draw(strategy)


@st.composite
def _object_values(draw: DrawFn, schema: Json, components: Mapping[str, Json], depth: int) -> Json:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    names = [*properties, draw(st.sampled_from(NAMES))]
    kept = [name for name in names if name in schema.get("required", ()) or draw(st.booleans())]
    return {name: draw(values(properties.get(name, others), components, depth - 1)) for name in kept}


@st.composite
def _array_values(draw: DrawFn, schema: Json, components: Mapping[str, Json], depth: int) -> list[Any]:
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    count = draw(st.integers(schema.get("minItems", 0), max(schema.get("minItems", 0), 4)))
    each = [first[index] if index < len(first) else rest for index in range(count)]
    items = [draw(values(one, components, depth - 1)) for one in each]
    return [*items[:1], *items[:-1]] if draw(st.booleans()) else items  # the first one twice


def _simple() -> SearchStrategy[Json]:
    return st.one_of(_strings(), _numbers(), _enums(), st.sampled_from([{"type": "null"}, {"type": "boolean"}, {}]))


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


@st.composite
def _keywords(draw: DrawFn, /, **possible: SearchStrategy[Any]) -> Json:
    """Some of the keywords."""
    return {key: draw(value) for key, value in possible.items() if draw(st.integers(0, 2)) == 0}


def _sizes(least: str, most: str) -> SearchStrategy[Json]:
    return _keywords(**{least: small, most: small})


@st.composite
def _strings(draw: DrawFn) -> Json:
    formats = {"pattern": st.sampled_from(["^a", "b$"]), "format": st.sampled_from(["date", "uuid"])}
    return {"type": "string", **draw(_sizes("minLength", "maxLength")), **draw(_keywords(**formats))}


@st.composite
def _numbers(draw: DrawFn) -> Json:
    kind = draw(st.sampled_from(["integer", "number"]))
    bound = small | st.just(1.5)
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    limits = draw(_keywords(**dict.fromkeys(names, bound), multipleOf=st.integers(1, 3)))
    return {"type": kind, **limits}


@st.composite
def _enums(draw: DrawFn) -> Json:
    chosen = draw(st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4, unique_by=repr))
    kind = draw(st.sampled_from([{}, {}, {"type": "string"}, {"type": "integer"}, {"type": "number"}]))
    return {**kind, "enum": chosen}


@st.composite
def _arrays(draw: DrawFn, inner: SearchStrategy[Json]) -> Json:
    nested = {
        "items": inner | st.booleans(),
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "uniqueItems": st.booleans(),
    }
    return {"type": "array", **draw(_sizes("minItems", "maxItems")), **draw(_keywords(**nested))}


@st.composite
def _objects(draw: DrawFn, inner: SearchStrategy[Json]) -> Json:
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True))
    properties = {name: draw(inner) for name in chosen}
    required = [name for name in chosen if draw(st.booleans())]
    others = {"additionalProperties": draw(st.booleans() | inner)} if draw(st.booleans()) else {}
    pattern = st.fixed_dictionaries({"type": st.just("string"), "maxLength": small})
    by_pattern = st.dictionaries(st.sampled_from(["^a", "^b"]), inner, min_size=1)
    names = {"propertyNames": pattern, "patternProperties": by_pattern}
    more = draw(_keywords(minProperties=small, maxProperties=small, **names))
    return {"type": "object", "properties": properties, "required": required, **others, **more}


@st.composite
def _unions(draw: DrawFn, inner: SearchStrategy[Json]) -> Json:
    return {"anyOf": draw(st.lists(inner, min_size=1, max_size=3))}


@st.composite
def _tagged(draw: DrawFn, inner: SearchStrategy[Json]) -> Json:
    """Objects that a property tells apart."""
    tags = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True))
    arms = [
        {"type": "object", "properties": {"kind": {"enum": [tag]}, "a": draw(inner)}, "required": ["kind"]}
        for tag in tags
    ]
    return {"anyOf": arms, "discriminator": {"propertyName": "kind"}}
