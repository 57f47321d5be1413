"""Every fault of an input at once: msgspec stops at the first, so a failed input is walked once more, field by field."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from restwell.email_addresses import MAX_CHARACTERS, EmailAddress
from restwell.errors import FieldError

MAX_FAULTS: Final = 50
MAX_STEPS: Final = 1_000
"""So many values are looked at: a body of a megabyte must not hold the event loop."""
MAX_CHARS: Final = 200
"""Of a path or a message, which may repeat what was sent."""


def decode_hook(kind: Any, raw: Any) -> Any:
    """For msgspec's decoders: reads the field types that are the kit's own. Raises ValueError."""
    if kind is not EmailAddress:
        raise NotImplementedError(f"{kind} is no type that can be read")
    if not isinstance(raw, str):
        raise ValueError(f"Expected `str`, got `{'null' if raw is None else type(raw).__name__}`")  # noqa: TRY004  # msgspec names the field
    return EmailAddress.parse(raw)


def schema_hook(kind: Any) -> dict[str, Any]:
    """The same for JSON Schema."""
    if kind is not EmailAddress:
        raise NotImplementedError(f"{kind} has no schema")
    return {"type": "string", "format": "email", "maxLength": MAX_CHARACTERS}


def faults_in(raw: Any, kind: Any, error: msgspec.ValidationError, *, strict: bool = True) -> list[FieldError]:
    """What is wrong with ``raw`` as ``kind``; at least what ``error`` already says. Paths are JSONPaths from ``$``."""
    return list(islice(_Walk(strict=strict).through(raw, kind, "$"), MAX_FAULTS)) or [first_fault(error)]


class _Walk:
    """Through one input, for so many steps."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._steps = MAX_STEPS

    def through(self, raw: Any, kind: Any, path: str) -> Iterator[FieldError]:
        self._steps -= 1
        if self._steps < 0:
            return
        clean = True
        for fault in self._inside(raw, kind, path):
            clean = False
            yield fault
        if clean and self._steps >= 0:
            try:
                msgspec.convert(raw, kind, strict=self._strict, dec_hook=decode_hook)
            except msgspec.ValidationError as error:
                yield first_fault(error, path)

    def _inside(self, raw: Any, kind: Any, path: str) -> Iterator[FieldError]:
        if isinstance(raw, dict) and (struct := _struct_in(kind)) is not None:
            yield from self._fields_of(raw, struct, path)
        elif isinstance(raw, list) and (item := _list_item(kind)) is not None:
            for index, one in enumerate(raw[:MAX_STEPS]):
                yield from self.through(one, item, f"{path}[{index}]")

    def _fields_of(self, raw: dict[str, Any], struct: type[msgspec.Struct], path: str) -> Iterator[FieldError]:
        kinds = _fields(struct)
        for name, (kind, is_required) in kinds.items():
            if name in raw:
                yield from self.through(raw[name], kind, f"{path}.{name}")
            elif is_required:
                yield FieldError(f"{path}.{name}", "required")
        if struct.__struct_config__.forbid_unknown_fields:
            known = {*kinds, struct.__struct_config__.tag_field}
            yield from (FieldError(short(f"{path}.{name}"), "unknown field") for name in raw if name not in known)


def first_fault(error: msgspec.ValidationError, path: str = "$") -> FieldError:
    """What ``error`` says of the value at ``path``."""
    message, at, place = str(error).rpartition(" - at `$")
    if not at:
        message, place = place, ""
    return FieldError(short(path + place.removesuffix("`")), short(message.removesuffix(".")))


def short(text: str) -> str:
    """What is said of a request in its answer."""
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."


@lru_cache(maxsize=512)
def _fields(struct: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """Each field's type, and whether it is required, by the name it is sent as."""
    hints = get_type_hints(struct, include_extras=True)
    return {one.encode_name: (hints[one.name], one.required) for one in msgspec.structs.fields(struct)}


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that ``kind`` is, also as Annotated or as one arm of a union."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((struct for arg in get_args(kind) if (struct := _struct_in(arg))), None) if not _is_list(kind) else None


def _list_item(kind: Any) -> Any:
    if _is_list(kind):
        return get_args(kind)[0]
    return next((item for arg in get_args(kind) if _is_list(arg) for item in get_args(arg)[:1]), None)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list
