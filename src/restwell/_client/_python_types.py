"""The names and types of Python for those of an API, and ``models.py`` of a client."""

import inspect
import json
import keyword
import re
from collections.abc import Iterable, Iterator
from textwrap import indent
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
    Property,
    Ref,
    TupleOf,
    Type,
    UnionOf,
)

RESERVED: Final = frozenset(
    {
        *("self", "bool", "bytes", "dict", "float", "int", "list", "object", "str", "tuple"),
        *("datetime", "decimal", "uuid", "errors", "models", "msgspec", "runtime", "aclose"),
        *("Any", "AsyncIterator", "OpenEnum", "Struct", "UNSET", "UnsetType", "field"),
    }
)
"""Names that the code uses. A name of the API that is one of these gets an underscore."""

_LINE_CHARS: Final = 88
_BY_FORMAT: Final = {
    "date-time": "datetime.datetime",
    "date": "datetime.date",
    "time": "datetime.time",
    "duration": "datetime.timedelta",
    "uuid": "uuid.UUID",
    "decimal": "decimal.Decimal",
    "byte": "bytes",
    "binary": "bytes",
}
_BY_NAME: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "any": "Any",
}
_ONE_OF_A_KIND: Final = {"string", "object", "array"}
"""msgspec decodes at most one arm of each of these kinds in a union."""


class Types:
    """The types of one API. ``prefix`` stands before the name of a model."""

    def __init__(self, api: Api) -> None:
        self._schemas = {schema.name: schema for schema in api.schemas}
        self._classes = dict(zip(self._schemas, unique(map(class_name, self._schemas)), strict=True))
        self.tagged = frozenset(self._tagged_objects(api))

    def name_of_class(self, schema: str) -> str:
        return self._classes[schema]

    def expression(self, kind: Type, prefix: str = "", *within: str) -> str:  # noqa: PLR0911  # one for each kind
        """The type as Python. An alias is written out; one that contains itself is Any."""
        match kind:
            case Plain(name, form):
                return _BY_FORMAT.get(form, "str") if name == "string" else _BY_NAME[name]
            case Literals(values):
                names = {type(value).__name__ for value in values}
                return names.pop() if len(names) == 1 and "NoneType" not in names else "Any"
            case Ref(name):
                schema = self._schemas[name]
                if not isinstance(schema, AliasSchema):
                    return f"{prefix}{self._classes[name]}"
                return "Any" if name in within else self.expression(schema.type, prefix, name, *within)
            case ListOf(items):
                return f"list[{self.expression(items, prefix, *within)}]"
            case TupleOf(items):
                return f"tuple[{', '.join(self.expression(item, prefix, *within) for item in items) or '()'}]"
            case MapOf(values):
                return f"dict[str, {self.expression(values, prefix, *within)}]"
            case Nullable(inner):
                found = self.expression(inner, prefix, *within)
                return found if found in {"Any", "None"} else f"{found} | None"
            case UnionOf(arms):
                options = dict.fromkeys(self.expression(arm, prefix, *within) for arm in arms)
                can_be_decoded = self._are_tagged(kind) or self._kinds_differ(arms)
                return " | ".join(options) if can_be_decoded and "Any" not in options else "Any"

    def arms(self, kind: Type, prefix: str) -> list[str]:
        """The types that a body is decoded as, in turn: here a union may have arms that msgspec cannot tell apart."""
        return [self.expression(arm, prefix) for arm in (kind.arms if isinstance(kind, UnionOf) else (kind,))]

    def _tagged_objects(self, api: Api) -> Iterator[str]:
        """The objects that are told apart by a property, in some union."""
        kinds = [each.type for schema in api.schemas if isinstance(schema, ObjectSchema) for each in schema.properties]
        kinds += [schema.type for schema in api.schemas if isinstance(schema, AliasSchema)]
        kinds += [success.type for operation in api.operations for success in operation.successes]
        kinds += [operation.body.type for operation in api.operations if operation.body is not None]
        for kind in kinds:
            for union in _unions_in(kind):
                if self._are_tagged(union):
                    yield from (arm.name for arm in union.arms if isinstance(arm, Ref))

    def _are_tagged(self, union: UnionOf) -> bool:
        schemas = [self._schemas.get(arm.name) if isinstance(arm, Ref) else None for arm in union.arms]
        tags = [
            schema.tag
            for schema in schemas
            if isinstance(schema, ObjectSchema) and schema.tag and schema.tag_property == union.discriminator
        ]
        return len(set(tags)) == len(union.arms)

    def _kinds_differ(self, arms: Iterable[Type]) -> bool:
        kinds = [kind for kind in map(self._json_kind, dict.fromkeys(arms)) if kind in _ONE_OF_A_KIND]
        return len(set(kinds)) == len(kinds)

    def _json_kind(self, kind: Type) -> str:
        match kind:
            case Plain(name, _):
                return name
            case Ref(name):
                return "string" if isinstance(self._schemas[name], EnumSchema) else "object"
            case ListOf() | TupleOf():
                return "array"
            case Literals(values):
                return "string" if any(isinstance(value, str) for value in values) else "any"
            case _:
                return "object"


def write_models(api: Api, types: Types) -> str:
    """``models.py``: a class for each object and enum."""
    classes = [_class(schema, types) for schema in api.schemas if not isinstance(schema, AliasSchema)]
    return "\n".join(
        [
            '"""What the API accepts and returns. Optional fields that are not set are UNSET, and are not sent."""',
            "",
            "from __future__ import annotations",
            "",
            "import datetime",
            "import decimal",
            "import uuid",
            "from typing import Any",
            "",
            "from msgspec import UNSET, Struct, UnsetType, field",
            "",
            "from .runtime import OpenEnum",
            *(f"\n\n{each}" for each in classes),
            "",
        ]
    )


def _class(schema: ObjectSchema | EnumSchema, types: Types) -> str:
    name = types.name_of_class(schema.name)
    lines = docstring(schema.description)
    if isinstance(schema, EnumSchema):
        members = unique(map(_member, schema.values))
        head = f"class {name}(OpenEnum):"
        lines += [
            *([""] * bool(lines)),
            *(f"{member} = {literal(value)}" for member, value in zip(members, schema.values, strict=True)),
        ]
    else:
        is_tagged = schema.name in types.tagged
        tag = f", tag_field={literal(schema.tag_property or '')}, tag={literal(schema.tag or '')}" * is_tagged
        head = f"class {name}(Struct, kw_only=True{tag}):"
        properties = [each for each in schema.properties if not (is_tagged and each.name == schema.tag_property)]
        names = unique(identifier(each.name) for each in properties)
        fields = [line for each in zip(properties, names, strict=True) for line in _field(*each, types)]
        lines += [*([""] * bool(lines and fields)), *fields]
    return f"{head}\n{indent(chr(10).join(lines or ['pass']), '    ')}"


def _member(value: str) -> str:
    """The name of a member of an enum: ``-name`` is ``MINUS_NAME``."""
    text = f"minus_{value[1:]}" if value.startswith("-") else value
    name = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_").upper()
    return name if name[:1].isalpha() else f"VALUE_{name}"


def _field(each: Property, name: str, types: Types) -> Iterator[str]:
    kind = types.expression(each.type)
    given = f"name={literal(each.name)}" if name != each.name else ""
    if each.required:
        line = f"{name}: {kind}" + f" = field({given})" * bool(given)
    else:
        default = f"field({given}, default=UNSET)" if given else "UNSET"
        line = f"{name}: {kind if kind == 'Any' else f'{kind} | UnsetType'} = {default}"
    yield line if len(line) + 4 <= _LINE_CHARS else f"{line}  # fmt: skip"
    yield from docstring(each.description)


def docstring(text: str) -> list[str]:
    """The lines of a docstring, as the formatter leaves them. None for an empty text."""
    cleaned = inspect.cleandoc(text).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [line.rstrip() for line in cleaned.strip().split("\n")]
    if lines == [""]:
        return []
    if len(lines) == 1:
        return [f'"""{lines[0]}{" " * lines[0].endswith(chr(34))}"""']
    return [f'"""{lines[0]}', *lines[1:], '"""']


def literal(text: str) -> str:
    """The text in the quotes that the formatter prefers."""
    return repr(text) if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)


def class_name(name: str) -> str:
    """A name in capitals and lower-case letters: ``out_of_stock`` is ``OutOfStock``."""
    joined = "".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name, flags=re.ASCII))
    return _escaped(joined)


def identifier(name: str) -> str:
    """The name of a parameter, field or method: ``Stripe-Signature`` is ``stripe_signature``."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return _escaped(found.lower() if "-" in name else found)


def _escaped(name: str) -> str:
    name = name if name[:1].isalpha() else f"x_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED else name


def unique(names: Iterable[str]) -> list[str]:
    """The names, each with a number if it is there already."""
    counts: dict[str, int] = {}
    result = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        result.append(name if counts[name] == 1 else f"{name}_{counts[name]}")
    return result


def _unions_in(kind: Type) -> Iterator[UnionOf]:
    match kind:
        case UnionOf(arms):
            yield kind
            inner: Iterable[Type] = arms
        case ListOf(one) | MapOf(one) | Nullable(one):
            inner = (one,)
        case TupleOf(items):
            inner = items
        case _:
            inner = ()
    for one in inner:
        yield from _unions_in(one)
