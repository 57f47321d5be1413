"""Component schemas of the OpenAPI document, and example values built from them."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from restwell.web._formats import add_patterns
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
_DUPLICATE_NAMES: Final = "types with the same name in the OpenAPI document: {}; rename all but one"

_MODULE: Final = re.compile(r"(?:\w+\.)+")
_GENERIC: Final = re.compile(r"(\w+)\[(\w+(?:, \w+)*)\]")

_EXAMPLES_BY_TYPE: Final = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}


class ComponentSchemas:
    """The component schemas of the document."""

    def __init__(self, kinds: list[Any]) -> None:
        unique = list(dict.fromkeys(kinds))
        refs, components = msgspec.json.schema_components(unique, schema_hook=schema_hook, ref_template=REF + "{name}")
        refs, components = _with_readable_names(refs, components)
        add_patterns([refs, components])
        self._refs = dict(zip(unique, refs, strict=True))
        self.components = dict(sorted(components.items()))

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
        pending = set(_refs_in(paths))
        while pending - used:
            used |= pending
            pending = {ref for name in pending for ref in _refs_in(self.components[name])}
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

    def example(self, schema: Schema) -> Any:
        """A valid example value: the first example of the schema, or one built from its properties."""
        for key in ("examples", "enum"):
            if schema.get(key):
                return schema[key][0]
        if "$ref" in schema:
            return self.example(self.components[schema["$ref"].removeprefix(REF)])
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        kind = str(schema.get("type"))
        if kind == "object":
            return {name: self.example(inner) for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            return [self.example(schema["items"])]
        return EXAMPLES_BY_FORMAT.get(schema.get("format", ""), schema.get("minimum", _EXAMPLES_BY_TYPE.get(kind)))


def _with_readable_names(refs: Any, components: Schema) -> tuple[Any, Schema]:
    """Name the components of generic types after their arguments: ``Page[Order]`` is ``OrderPage``."""
    names = {
        name: _readable(title) if "[" in (title := schema["title"]) else name for name, schema in components.items()
    }
    if duplicates := [name for name in components if list(names.values()).count(names[name]) > 1]:
        raise TypeError(_DUPLICATE_NAMES.format(" and ".join(duplicates)))
    renamed = {names[name]: _with_refs(schema, names) for name, schema in components.items()}
    for name, schema in renamed.items():
        schema["title"] = name
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    return _with_refs(refs, names), renamed


def _readable(title: str) -> str:
    title = _MODULE.sub("", title)
    while generic := _GENERIC.search(title):
        title = title.replace(generic[0], generic[2].replace(", ", "") + generic[1])
    return title


def _with_refs(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, dict):
        return {key: _with_refs(inner, names) for key, inner in schema.items()}
    if isinstance(schema, list | tuple):
        return [_with_refs(inner, names) for inner in schema]
    if isinstance(schema, str) and schema.startswith(REF):
        return REF + names[schema.removeprefix(REF)]
    return schema


def _refs_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref.removeprefix(REF)
        for inner in schema.values():
            yield from _refs_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _refs_in(inner)
