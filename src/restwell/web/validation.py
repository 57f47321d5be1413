"""Every fault of an input at once: msgspec stops at the first, so a failed input is walked once more, field by field."""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from restwell.errors import FieldError

MAX_FAULTS: Final = 50
MAX_ITEMS: Final = 100
"""How many items of a list are walked: a body of a megabyte must not hold the event loop."""

_AT: Final = re.compile(r" - at `(.*)`$", re.DOTALL)


def faults_in(raw: Any, kind: Any, error: msgspec.ValidationError, *, strict: bool = True) -> list[FieldError]:
    """What is wrong with ``raw`` as ``kind``; at least what ``error`` already says. Paths are JSONPaths from ``$``."""
    found: list[FieldError] = []
    for fault in _walk(raw, kind, "$", strict=strict):
        found.append(fault)
        if len(found) == MAX_FAULTS:
            break
    return found or [_first(error, "$")]


def _walk(raw: Any, kind: Any, path: str, *, strict: bool) -> Iterator[FieldError]:
    struct = _struct_in(kind)
    if struct is not None and isinstance(raw, dict):
        yield from _walk_struct(raw, struct, path, strict=strict)
        return
    inner = _list_item(kind)
    if inner is not None and isinstance(raw, list):
        clean = True
        for index, item in enumerate(raw[:MAX_ITEMS]):
            for fault in _walk(item, inner, f"{path}[{index}]", strict=strict):
                clean = False
                yield fault
        if clean:
            yield from _check(raw, kind, path, strict=strict)
        return
    yield from _check(raw, kind, path, strict=strict)


def _walk_struct(raw: dict[str, Any], struct: type[msgspec.Struct], path: str, *, strict: bool) -> Iterator[FieldError]:
    hints = get_type_hints(struct, include_extras=True)
    clean = True
    for field in msgspec.structs.fields(struct):
        at = f"{path}.{field.encode_name}"
        if field.encode_name in raw:
            for fault in _walk(raw[field.encode_name], hints[field.name], at, strict=strict):
                clean = False
                yield fault
        elif field.required:
            clean = False
            yield FieldError(at, "required")
    if struct.__struct_config__.forbid_unknown_fields:
        for name in raw.keys() - {field.encode_name for field in msgspec.structs.fields(struct)}:
            clean = False
            yield FieldError(f"{path}.{name}", "unknown field")
    if clean:
        yield from _check(raw, struct, path, strict=strict)


def _check(raw: Any, kind: Any, path: str, *, strict: bool) -> Iterator[FieldError]:
    try:
        msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        yield _first(error, path)


def _first(error: msgspec.ValidationError, path: str) -> FieldError:
    message = str(error)
    place = _AT.search(message)
    where = path + place[1].removeprefix("$") if place else path
    return FieldError(where, _AT.sub("", message).removesuffix("."))


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
