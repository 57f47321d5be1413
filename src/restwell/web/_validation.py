"""Finds all field errors of an input. msgspec stops at the first, so an invalid input is validated field by field."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from restwell._email_addresses import MAX_CHARACTERS, EmailAddress
from restwell.errors import FieldError

MAX_ERRORS: Final = 50
MAX_VISITED_VALUES: Final = 1_000
"""Maximum number of visited values: a large invalid body must not block the event loop."""
MAX_CHARS: Final = 200
"""Maximum length of a path or a message, which may contain input."""


def decode_hook(kind: Any, raw: Any) -> Any:
    """Decoding hook of msgspec for custom types. Raises ValueError for an invalid value."""
    if kind is not EmailAddress:
        raise NotImplementedError(f"{kind} cannot be decoded")
    if not isinstance(raw, str):
        got = "null" if raw is None else type(raw).__name__
        raise ValueError(f"Expected `str`, got `{got}`")  # noqa: TRY004  # msgspec names the field
    return EmailAddress.parse(raw)


def schema_hook(kind: Any) -> dict[str, Any]:
    """JSON Schema hook of msgspec for custom types."""
    if kind is not EmailAddress:
        raise NotImplementedError(f"{kind} has no schema")
    return {"type": "string", "format": "email", "maxLength": MAX_CHARACTERS}


def find_field_errors(raw: Any, kind: Any, error: msgspec.ValidationError) -> list[FieldError]:
    """Find the field errors of ``raw`` as ``kind``, at least the one of ``error``. Paths are JSONPaths from ``$``."""
    return list(islice(_Validator().validate(raw, kind, "$"), MAX_ERRORS)) or [to_field_error(error)]


class _Validator:
    """Validates one input, up to MAX_VISITED_VALUES."""

    def __init__(self) -> None:
        self._remaining = MAX_VISITED_VALUES

    def validate(self, raw: Any, kind: Any, path: str) -> Iterator[FieldError]:
        self._remaining -= 1
        if self._remaining < 0:
            return
        valid = True
        for nested in self._nested_errors(raw, kind, path):
            valid = False
            yield nested
        if valid and self._remaining >= 0:
            try:
                msgspec.convert(raw, kind, dec_hook=decode_hook)
            except msgspec.ValidationError as error:
                yield to_field_error(error, path)

    def _nested_errors(self, raw: Any, kind: Any, path: str) -> Iterator[FieldError]:
        if isinstance(raw, dict) and (struct := _struct_in(kind)) is not None:
            yield from self._struct_errors(raw, struct, path)
        elif isinstance(raw, list) and (item_kind := _list_item(kind)) is not None:
            for index, item in enumerate(raw[:MAX_VISITED_VALUES]):
                yield from self.validate(item, item_kind, f"{path}[{index}]")

    def _struct_errors(self, raw: dict[str, Any], struct: type[msgspec.Struct], path: str) -> Iterator[FieldError]:
        kinds = _fields(struct)
        for name, (kind, is_required) in kinds.items():
            if name in raw:
                yield from self.validate(raw[name], kind, f"{path}.{name}")
            elif is_required:
                yield FieldError(f"{path}.{name}", "required")
        if struct.__struct_config__.forbid_unknown_fields:
            known = {*kinds, struct.__struct_config__.tag_field}
            yield from (FieldError(truncate(f"{path}.{name}"), "unknown field") for name in raw if name not in known)


def to_field_error(error: msgspec.ValidationError, path: str = "$") -> FieldError:
    """Convert the error of the value at ``path``."""
    message, at, location = str(error).rpartition(" - at `$")
    if not at:
        message, location = location, ""
    return FieldError(truncate(path + location.removesuffix("`")), truncate(message.removesuffix(".")))


def truncate(text: str) -> str:
    """Limit input that is repeated in a response."""
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."


@lru_cache(maxsize=512)
def _fields(struct: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """The type of each field and whether it is required, by encoded name."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: (hints[field.name], field.required) for field in msgspec.structs.fields(struct)}


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct of ``kind``, which may be Annotated or a union."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((struct for arg in get_args(kind) if (struct := _struct_in(arg))), None) if not _is_list(kind) else None


def _list_item(kind: Any) -> Any:
    if _is_list(kind):
        return get_args(kind)[0]
    return next((item for arg in get_args(kind) if _is_list(arg) for item in get_args(arg)[:1]), None)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list
