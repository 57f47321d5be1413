"""The normal form of a schema: the alternatives, each of one JSON type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from restwell._api._documents import REF, AnySchema, Schema

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Arm:
    """``kind`` is a JSON type, or ``any``. ``values``: its enumerated values as JSON, in order. ``tag``: the
    discriminator value. ``name``: the component, or empty.
    """

    kind: str
    schema: Schema
    name: str = ""
    tag: str = ""
    values: tuple[str, ...] | None = None
    annotations: Schema = field(default_factory=dict)
    """With those of the references to it."""

    def __str__(self) -> str:
        label = self.name or self.schema.get("format") or self.kind
        return f"{label} ({self.tag})" if self.tag else str(label)


def resolve(schema: Schema, components: Mapping[str, Schema]) -> tuple[Schema, str]:
    """The schema that a reference points to, and the name of the component. Without a reference, itself and empty."""
    seen: list[str] = []
    while "$ref" in schema and schema["$ref"] not in seen:
        seen.append(schema["$ref"])
        schema = components[seen[-1].removeprefix(REF)]
    return schema, seen[-1].removeprefix(REF) if seen else ""


def arms_of(schema: AnySchema, components: Mapping[str, Schema]) -> list[Arm]:
    """The alternatives of a schema, references resolved. ``True`` accepts any value, ``False`` none."""
    return list(_arms(schema, components, Arm("any", {}), frozenset()))


def discriminator_of(schema: AnySchema) -> str:
    """The name of the property that tells the alternatives apart, or empty."""
    return "" if isinstance(schema, bool) else str(schema.get("discriminator", {}).get("propertyName", ""))


def literal(value: Any) -> str:
    """A value as JSON. Equal numbers are equal text."""
    whole = isinstance(value, float) and value.is_integer()
    return msgspec.json.encode(int(value) if whole else value, order="sorted").decode()


def _arms(schema: AnySchema, components: Mapping[str, Schema], outer: Arm, seen: frozenset[str]) -> Iterator[Arm]:
    """``outer`` has the name, the tag and the annotations of what refers to the schema."""
    if isinstance(schema, bool):
        if schema:
            yield Arm("any", {})
    elif "$ref" in schema:
        reference = schema["$ref"]
        if reference not in seen:  # a union that contains itself has no more alternatives
            name = reference.removeprefix(REF)
            named = replace(outer, name=name, annotations={**schema, **outer.annotations})
            yield from _arms(components[name], components, named, seen | {reference})
    elif "anyOf" in schema or "oneOf" in schema:
        discriminator = schema.get("discriminator", {})
        tags = {reference: value for value, reference in discriminator.get("mapping", {}).items()}
        for each in schema.get("anyOf", schema.get("oneOf", ())):
            found = tags.get(each.get("$ref")) or _constant(each, discriminator.get("propertyName", ""), components)
            yield from _arms(each, components, Arm("any", {}, tag=found or outer.tag), seen)
    else:
        yield from _typed(schema, replace(outer, schema=schema, annotations={**schema, **outer.annotations}))


def _typed(schema: Schema, arm: Arm) -> Iterator[Arm]:
    """The arms of a schema without alternatives. Enumerated values of several types are an arm each."""
    kind = schema.get("type")
    if "enum" not in schema and "const" not in schema:
        yield replace(arm, kind=str(kind or "any"))
        return
    given = schema.get("enum", [schema.get("const")])
    values = [each for each in given if "const" not in schema or literal(each) == literal(schema["const"])]
    by_kind: dict[str, dict[str, None]] = {}
    for value in values:
        of_value = "integer" if isinstance(value, float) and value.is_integer() else _KINDS[type(value)]
        if kind in {None, of_value} or (kind, of_value) == ("number", "integer"):
            by_kind.setdefault(kind or of_value, {})[literal(value)] = None
    for each, literals in by_kind.items():
        yield replace(arm, kind=each, values=None if each == "null" else tuple(literals))


def _constant(schema: Schema, name: str, components: Mapping[str, Schema]) -> str:
    """The only value of a property, or empty."""
    property_, _ = resolve(resolve(schema, components)[0].get("properties", {}).get(name, {}), components)
    values = property_.get("enum", [property_["const"]] if "const" in property_ else [])
    return str(values[0]) if len(values) == 1 else ""
