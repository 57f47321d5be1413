"""Pydantic models: bodies as strict as those of Structs, and their schemas for the OpenAPI document."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import inspect
from pydantic import BaseModel, TypeAdapter, ValidationError

from restwell.errors import FieldError, Invalid, MalformedRequest
from restwell.web._decoding import parse_json
from restwell.web._formats import types_within
from restwell.web._validation import MAX_ERRORS, truncate

MAX_MODEL_VALUES: Final = 10_000
"""Maximum number of values of a body. Pydantic collects every error, which blocks the event loop."""

_MESSAGES: Final = {"missing": "required", "extra_forbidden": "unknown field"}


@lru_cache(maxsize=512)
def models_within(kind: Any) -> list[type[BaseModel]]:
    """The models of a type, such as ``list[Order]``. Their fields are not searched."""
    parts = types_within(inspect.type_info(kind))
    custom = (part.cls for part in parts if isinstance(part, inspect.CustomType))
    return [each for each in custom if issubclass(each, BaseModel)]


@lru_cache(maxsize=512)
def model_adapter(kind: Any) -> TypeAdapter[Any]:
    """The decoder of a type with models. Raises TypeError if it also has types that Pydantic does not know."""
    try:
        return TypeAdapter(kind)
    except Exception as error:
        raise TypeError(f"Pydantic cannot decode {kind}: use models for all of it, or Structs") from error


def decode_model(body: bytes, adapter: TypeAdapter[Any]) -> Any:
    """Decode JSON in strict mode: ``"1"`` is no number. Raises MalformedRequest (400) or Invalid (422)."""
    raw = parse_json(body, max_values=MAX_MODEL_VALUES)
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":  # nested too deeply, or an invalid surrogate
        raise MalformedRequest("The body is not valid JSON, or is nested too deeply.")
    raise Invalid(
        errors=[
            FieldError(_path(raw, each["loc"], each["type"]), truncate(_MESSAGES.get(each["type"], each["msg"])))
            for each in details[:MAX_ERRORS]
        ]
    )


def _path(raw: Any, location: tuple[int | str, ...], kind: str) -> str:
    """The JSONPath of a location of Pydantic, without the names of the alternatives of a union."""
    path = "$"
    for number, key in enumerate(location, 1):
        if isinstance(raw, dict) and key in raw:
            path, raw = f"{path}.{truncate(str(key))}", raw[key]
        elif isinstance(raw, list) and isinstance(key, int) and key < len(raw):
            path, raw = f"{path}[{key}]", raw[key]
        elif kind == "missing" and number == len(location):
            path = f"{path}.{key}"
    return truncate(path)


def model_schemas(
    adapters: Iterable[TypeAdapter[Any]], models: Iterable[type[BaseModel]], ref_template: str
) -> tuple[Mapping[Any, dict[str, Any]], dict[str, Any]]:
    """The schemas of bodies by adapter, those of results by model, and the components that they refer to."""
    inputs = [(each, "validation", each) for each in adapters]
    outputs = [(each, "serialization", model_adapter(each)) for each in models]
    schemas, document = TypeAdapter.json_schemas([*inputs, *outputs], ref_template=ref_template)  # type: ignore[list-item]  # keys may be any hashable
    return {key: schema for (key, _), schema in schemas.items()}, document.get("$defs", {})
