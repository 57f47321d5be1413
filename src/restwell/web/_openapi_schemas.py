"""Component schemas of the OpenAPI document, and example values built from them."""

import inspect
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter

from restwell.fields import DEPRECATION, SUNSET
from restwell.web._formats import add_patterns
from restwell.web._models import model_schemas, models_within
from restwell.web._uploads import PART
from restwell.web._validation import schema_hook

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"

EXAMPLES_BY_FORMAT: Final = {
    "uuid": "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5",
    "date-time": "2026-01-31T09:30:00Z",
    "date": "2026-01-31",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "decimal": "1.5",
    "email": "someone@example.com",
    "uri": "https://example.com/",
}
TEXT: Final = {"type": "string"}
BYTES: Final = {"type": "string", "format": "binary"}
UPLOAD: Final = {
    "type": "object",
    "properties": {PART: {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": [PART],
    "additionalProperties": False,
}
_DUPLICATE_NAMES: Final = "types with the same name in the OpenAPI document: {}; rename all but one"

_MODULE: Final = re.compile(r"(?:\w+\.)+")
_NAME: Final = re.compile(r"\w+")
_REFERENCE: Final = re.compile(rb'"\$ref":"#/components/schemas/([^"]+)"')
_GENERIC: Final = re.compile(r"(\w+)\[(\w+(?:, \w+)*)\]")

_EXAMPLES_BY_TYPE: Final = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}


class ComponentSchemas:
    """The component schemas of the document. ``names``: other names for the types with these names."""

    def __init__(self, kinds: list[Any], names: Mapping[str, str] = MappingProxyType({})) -> None:
        unique = tuple(dict.fromkeys(kinds))
        refs, self.components = msgspec.json.decode(_schemas_of(unique, tuple(names.items())))
        self._refs = dict(zip(unique, refs, strict=True))

    def ref(self, kind: Any) -> Schema:
        ref: Schema = self._refs[kind]
        return ref

    def content(self, *kinds: Any) -> Schema:
        """The media type object of a body of any of these types, narrower types first. The example is of the first."""
        refs = [self.ref(kind) for kind in kinds]
        return {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}, "example": self.example(refs[0])}

    def used_by(self, paths: Schema) -> Schema:
        """The components that the paths refer to, directly or indirectly.

        Raises TypeError for two types with one name. msgspec would name them by their module paths.
        """
        used: set[str] = set()
        pending = refs_in(paths)
        while pending := pending - used:
            used |= pending
            pending = refs_in([self.components[name] for name in pending])
        if duplicates := [name for name in sorted(used) if "." in name]:
            raise TypeError(_DUPLICATE_NAMES.format(" and ".join(duplicates)))
        return {name: schema for name, schema in self.components.items() if name in used}

    def parameters_of(self, kind: Any) -> Schema:
        """The schema of a filter Struct. Its fields are query parameters, so it is removed from the components."""
        component: Schema = self.components.pop(self.ref(kind)["$ref"].removeprefix(REF), {})
        if component:
            self._refs[kind] = {**self.ref(kind), "parameters": component}
        parameters: Schema = self._refs[kind]["parameters"]
        return parameters

    def example(self, schema: Schema, *parents: str) -> Any:
        """A valid example value: the first example of the schema, or one built from its properties.

        A type that contains itself, as one of its ``parents``, is left out.
        """
        if given := schema.get("examples") or schema.get("enum"):
            return given[0]
        if "$ref" in schema:
            name = _ref_of(schema)
            return self.example(self.components[name], name, *parents) if name not in parents else None
        if arms := schema.get("anyOf") or schema.get("oneOf"):
            return self.example(next((arm for arm in arms if _ref_of(arm) not in parents), arms[0]), *parents)
        return self._example_of_type(schema, *parents)

    def _example_of_type(self, schema: Schema, *parents: str) -> Any:
        kind = str(schema.get("type"))
        if kind == "object":
            return {name: self.example(inner, *parents) for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            items = schema.get("prefixItems", [schema.get("items", {})])
            return [self.example(each, *parents) for each in items if _ref_of(each) not in parents]
        simple = schema.get("const", schema.get("minimum", _EXAMPLES_BY_TYPE.get(kind)))
        return EXAMPLES_BY_FORMAT.get(schema.get("format", ""), simple)


@lru_cache(maxsize=64)
def _schemas_of(kinds: tuple[Any, ...], names: tuple[tuple[str, str], ...]) -> bytes:
    """The schema of each type, and the components, as JSON.

    Kept, since tests build an application again and again, and may change its document.
    """
    renamed = dict(names)
    adapters = [kind for kind in kinds if isinstance(kind, TypeAdapter)]
    others = [kind for kind in kinds if not isinstance(kind, TypeAdapter)]
    models = dict.fromkeys(model for kind in others for model in models_within(kind))
    model_refs, model_components = model_schemas(adapters, models, REF + "{model}")
    model_names = {name: _name_of_model(name, schema, renamed) for name, schema in model_components.items()}
    model_refs, model_components = _renamed(model_refs, model_components, model_names)

    def hook(kind: Any) -> Schema:
        return model_refs[kind] if kind in model_refs else schema_hook(kind)

    refs, components = msgspec.json.schema_components(others, schema_hook=hook, ref_template=REF + "{name}")
    refs, components = _with_readable_names(refs, components, renamed)
    add_patterns([refs, components])
    _amend([refs, components])
    by_kind = dict(zip(others, refs, strict=True)) | {each: model_refs[each] for each in adapters}
    merged = dict(sorted(_merged(components, model_components).items()))
    return msgspec.json.encode(([by_kind[kind] for kind in kinds], merged))


def _amend(schema: Any) -> None:
    """In place: add the sentence of each deprecated field to its description. Of a tagged union one type is valid."""
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ():
        _amend(inner)
    if not isinstance(schema, dict):
        return
    if isinstance(sentence := schema.get(DEPRECATION), str):
        del schema[DEPRECATION]
        schema["description"] = f"{schema.get('description', '')} {sentence}".strip()
    if "discriminator" in schema and "anyOf" in schema:
        schema["oneOf"] = schema.pop("anyOf")  # generators make a union of types only of this keyword
    for arm in schema.get("anyOf", ()):
        if isinstance(arm, dict) and arm.get("deprecated"):  # Annotated[int, deprecated(...)] | None
            schema |= {key: arm[key] for key in ("deprecated", SUNSET) if key in arm}


def _ref_of(schema: Schema) -> str:
    return str(schema.get("$ref", "")).removeprefix(REF)


def _with_readable_names(refs: Any, components: Schema, names: Mapping[str, str]) -> tuple[Any, Schema]:
    """Name the components of generic types after their arguments: ``Page[Order]`` is ``OrderPage``."""
    readable = {
        name: _readable(title, names) if "[" in (title := schema["title"]) else names.get(name, name)
        for name, schema in components.items()
    }
    return _renamed(refs, components, readable)


def _renamed(refs: Any, components: Schema, names: dict[str, str]) -> tuple[Any, Schema]:
    if duplicates := [name for name in components if list(names.values()).count(names[name]) > 1]:
        raise TypeError(_DUPLICATE_NAMES.format(" and ".join(duplicates)))
    renamed = {names[name]: _with_refs(schema, names) for name, schema in components.items()}
    for name, schema in renamed.items():
        schema["title"] = name
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    return _with_refs(refs, names), renamed


def _name_of_model(name: str, schema: Schema, names: Mapping[str, str]) -> str:
    """Pydantic names the two schemas of a model ``Order-Input`` and ``Order-Output`` if they differ.

    Raises TypeError for two models with one name: Pydantic names them by their module paths, joined by ``__``.
    """
    if "__" in name:
        raise TypeError(_DUPLICATE_NAMES.format(name.replace("__", ".")))
    title = schema.get("title", "")
    if "[" in title:
        return _readable(title, names)
    kind, _, direction = name.partition("-")
    return f"{names.get(kind, kind)}{direction}"


def _merged(components: Schema, of_models: Schema) -> Schema:
    """All components. An enum may be in both. Raises TypeError for other types with one name."""
    duplicates = [
        name
        for name in components.keys() & of_models.keys()
        if "enum" not in components[name] or set(components[name]["enum"]) != set(of_models[name].get("enum", ()))
    ]
    if duplicates:
        raise TypeError(_DUPLICATE_NAMES.format(" and ".join(sorted(duplicates))))
    return {**of_models, **components}


def _readable(title: str, names: Mapping[str, str]) -> str:
    title = _NAME.sub(lambda found: names.get(found[0], found[0]), _MODULE.sub("", title))
    while generic := _GENERIC.search(title):
        title = title.replace(generic[0], generic[2].replace(", ", "") + generic[1])
    return title


def _with_refs(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, dict):
        return {key: _with_refs(inner, names) for key, inner in schema.items()}
    if isinstance(schema, list | tuple):
        return [_with_refs(inner, names) for inner in schema]
    if isinstance(schema, str) and schema.startswith(REF):
        name = schema.removeprefix(REF)
        return REF + names.get(name, name)
    return schema


def refs_in(schema: Any) -> set[str]:
    """The names of the components that a schema refers to."""
    return {name.decode() for name in _REFERENCE.findall(msgspec.json.encode(schema))}
