"""Writes the types of the TypeScript client."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from restwell._client._model import (
    AliasSchema,
    Api,
    EnumSchema,
    ListOf,
    Literals,
    MapOf,
    Nullable,
    ObjectSchema,
    Plain,
    Ref,
    Schema,
    TupleOf,
    Type,
    UnionOf,
)

_PLAIN: Final = {"integer": "number", "any": "unknown"}
_OPEN: Final = {str: "(string & {})", int: "(number & {})", float: "(number & {})"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def written_types(api: Api) -> str:
    answered = _answered(api)
    return "\n".join(line for schema in api.schemas for line in _schema(schema, is_open=schema.name in answered))


def _answered(api: Api) -> set[str]:
    """The names of the schemas in responses, whose enums may have more values in a newer API."""
    by_name = {schema.name: schema for schema in api.schemas}
    waiting = [name for each in api.operations for success in each.successes for name in _names(success.type)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(each for kind in _types_of(by_name[name]) for each in _names(kind))
    return found


def _types_of(schema: Schema) -> Iterable[Type]:
    if isinstance(schema, ObjectSchema):
        return (each.type for each in schema.properties)
    return (schema.type,) if isinstance(schema, AliasSchema) else ()


def _names(kind: Type) -> Iterator[str]:
    if isinstance(kind, Ref):
        yield kind.name
    for part in _parts(kind):
        yield from _names(part)


def _parts(kind: Type) -> Iterable[Type]:
    if isinstance(kind, UnionOf):
        return kind.arms
    if isinstance(kind, TupleOf):
        return kind.items
    if isinstance(kind, ListOf):
        return (kind.items,)
    if isinstance(kind, MapOf):
        return (kind.values,)
    return (kind.inner,) if isinstance(kind, Nullable) else ()


def _schema(schema: Schema, *, is_open: bool) -> Iterator[str]:
    name = _name(schema.name)
    yield from comment("", schema.description)
    if isinstance(schema, EnumSchema):
        yield f"export type {name} = {_literals(schema.values, is_open=is_open)};"
    elif isinstance(schema, AliasSchema):
        yield f"export type {name} = {type_of(schema.type, prefix='', is_open=is_open)};"
    else:
        yield f"export interface {name} {{"
        for each in schema.properties:
            yield from comment("  ", each.description, deprecated=each.deprecated)
            kind = type_of(each.type, prefix="", is_open=is_open)
            yield f"  {member(each.name, kind, required=each.required)}"
        yield "}"
    yield ""


def type_of(kind: Type, *, prefix: str = "types.", is_open: bool) -> str:
    """The type in TypeScript. ``prefix`` is the module of the schemas.

    Open: a newer API may have more values. A single value is a constant, which tells the arms of a union apart.
    """
    if isinstance(kind, Plain):
        return "Blob" if kind.format == "binary" else _PLAIN.get(kind.name, kind.name)
    if isinstance(kind, Literals):
        return _literals(kind.values, is_open=is_open)
    if isinstance(kind, Ref):
        return f"{prefix}{_name(kind.name)}"
    return _composed(kind, [type_of(part, prefix=prefix, is_open=is_open) for part in _parts(kind)])


def _composed(kind: Type, parts: list[str]) -> str:
    if isinstance(kind, TupleOf):
        return f"[{', '.join(parts)}]"
    if isinstance(kind, MapOf):
        return f"{{ [key: string]: {parts[0]} }}"
    if isinstance(kind, ListOf):
        return f"({parts[0]})[]" if " | " in parts[0] else f"{parts[0]}[]"
    return " | ".join(parts) if isinstance(kind, UnionOf) else f"{parts[0]} | null"


def _literals(values: tuple[str | int | float | bool | None, ...], *, is_open: bool) -> str:
    others = sorted({_OPEN[type(value)] for value in values if type(value) in _OPEN})
    return " | ".join([*map(json.dumps, values), *(others if is_open and len(values) > 1 else ())])


def _name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_$]", "_", name)


def member(name: str, kind: str, *, required: bool) -> str:
    return f"{key(name)}{'' if required else '?'}: {kind}{'' if required else ' | undefined'};"


def key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def comment(indent: str, text: str, *, deprecated: bool = False) -> Iterator[str]:
    lines = [line.rstrip() for line in text.replace("``", "`").replace("*/", "*\\/").strip().splitlines()]
    lines += ["@deprecated"] * deprecated
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"
