"""Strict checks of formatted strings in JSON bodies, such as UUIDs and times. The decoder accepts other forms."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from msgspec import inspect

from restwell._email_addresses import EmailAddress
from restwell.errors import FieldError
from restwell.web._literals import FORMATS, Format, own_format
from restwell.web._validation import MAX_ERRORS, truncate

FormatError = tuple[tuple[str | int, ...], str]
"""The path below a value, of field names and list indexes, and the expected format."""

Check = Callable[[Any], Sequence[FormatError]]
"""Checks a decoded body before its conversion. It ignores values of a wrong type: the decoder rejects those."""

_PATTERNS: Final = {form.name: f"^(?:{form.pattern})$" for form in FORMATS.values()}


@lru_cache(maxsize=512)
def format_check(kind: Any) -> Check | None:
    """Build the check of a type. None if the type has no formatted strings."""
    return _CheckBuilder().build(inspect.type_info(kind))


def to_field_errors(errors: Sequence[FormatError]) -> list[FieldError]:
    return [
        FieldError(truncate(f"${''.join(map(_path_segment, path))}"), expected)
        for path, expected in errors[:MAX_ERRORS]
    ]


@lru_cache(maxsize=512)
def ambiguous_formats(kind: Any) -> tuple[str, ...]:
    """Types that are not decoded exactly as OpenAPI describes them, each with the annotation to use instead."""
    return tuple(_ambiguous(inspect.type_info(kind)))


def _ambiguous(kind: inspect.Type) -> Iterator[str]:
    for part in types_within(kind):
        if isinstance(part, inspect.DateTimeType) and part.tz is not True:
            yield "a datetime with an optional offset: annotate it as Annotated[datetime, Meta(tz=True)]"
        if isinstance(part, inspect.TimeType) and part.tz is None:
            yield "a time with an optional offset: annotate it as Annotated[time, Meta(tz=False)], or tz=True"
        if isinstance(part, inspect.CustomType) and part.cls is not EmailAddress:
            yield f"a {part.cls.__name__}, which cannot be decoded: use Structs, models and standard types"


def add_patterns(schema: Any) -> None:
    """Add a ``pattern`` to each ``format`` without one, in place. JSON Schema formats allow more."""
    if isinstance(schema, dict):
        pattern = _PATTERNS.get(schema.get("format", "")) if schema.get("type") == "string" else None
        if pattern is not None:
            schema.setdefault("pattern", pattern)
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ():
        add_patterns(inner)


def types_within(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The type and all nested types, each once."""
    seen: dict[int, inspect.Type] = {}
    pending = [kind]
    while pending:
        part = pending.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            yield part
            pending += reversed(_parts(part))


def _path_segment(key: str | int) -> str:
    return f"[{key}]" if isinstance(key, int) else f".{truncate(key)}"


class _CheckBuilder:
    """Builds the check of a type, which may be recursive."""

    def __init__(self) -> None:
        self._built: dict[int, Check] = {}

    def build(self, kind: inspect.Type) -> Check | None:
        if (form := own_format(kind) or FORMATS.get(type(kind))) is not None:
            return _string_check(form)
        if isinstance(kind, inspect.Metadata):
            return self.build(kind.type)
        if not any(type(part) in FORMATS for part in types_within(kind)):
            return None
        if id(kind) not in self._built:
            self._built[id(kind)] = lambda raw: built(raw)  # noqa: PLW0108  # recursive: built below
            built = self._built[id(kind)] = self._build_parts(kind)
        return self._built[id(kind)]

    def _build_parts(self, kind: Any) -> Check:
        if isinstance(kind, inspect.UnionType):
            return _union_check([check for arm in kind.types if (check := self.build(arm)) is not None])
        if isinstance(kind, inspect.DictType):
            return _dict_check(self.build(kind.key_type), self.build(kind.value_type))
        if isinstance(kind, inspect.CollectionType):
            return _list_check(
                cast("Check", self.build(kind.item_type))
            )  # not None: the type contains a formatted string
        if isinstance(kind, inspect.TupleType | inspect.NamedTupleType):
            return _tuple_check([self.build(part) for part in _parts(kind)], None)
        tag = getattr(kind, "tag", None)
        if getattr(kind, "array_like", False):
            checks = [self.build(part) for part in _parts(kind)]
            return _tuple_check(checks if tag is None else [None, *checks], tag)
        fields = [(field.encode_name, self.build(field.type)) for field in kind.fields]
        return _object_check(
            [(name, check) for name, check in fields if check is not None], getattr(kind, "tag_field", None), tag
        )


def _string_check(form: Format) -> Check:
    matches, errors = form.matches, (((), form.expected),)

    def check(raw: Any) -> Sequence[FormatError]:
        if isinstance(raw, str):
            return () if matches(raw) else errors
        # The decoder also accepts JSON numbers for decimals, but a number may lose digits on its way.
        return errors if form.name == "decimal" and type(raw) in {int, float} else ()

    return check


def _union_check(arms: list[Check]) -> Check:
    """At most one check applies to the type or the tag of a value."""
    if len(arms) == 1:
        return arms[0]
    return lambda raw: next((errors for arm in arms if (errors := arm(raw))), ())


def _list_check(check_item: Check) -> Check:
    def check(raw: Any) -> Sequence[FormatError]:
        errors: list[FormatError] = []
        for index, item in enumerate(raw if isinstance(raw, list) else ()):
            if (nested := check_item(item)) and _add(errors, index, nested):
                break
        return errors

    return check


def _tuple_check(checks: list[Check | None], tag: Any) -> Check:
    def check(raw: Any) -> Sequence[FormatError]:
        errors: list[FormatError] = []
        if isinstance(raw, list) and (tag is None or raw[:1] == [tag]):
            for index, (item, check_item) in enumerate(zip(raw, checks, strict=False)):
                if check_item is not None and (nested := check_item(item)):
                    _add(errors, index, nested)
        return errors

    return check


def _dict_check(check_key: Check | None, check_value: Check | None) -> Check:
    def check(raw: Any) -> Sequence[FormatError]:
        errors: list[FormatError] = []
        for name, value in (raw if isinstance(raw, dict) else {}).items():
            nested = [
                *(check_key(name) if check_key is not None else ()),
                *(check_value(value) if check_value is not None else ()),
            ]
            if nested and _add(errors, name, nested):
                break
        return errors

    return check


def _object_check(fields: list[tuple[str, Check]], tag_field: str | None, tag: Any) -> Check:
    def check(raw: Any) -> Sequence[FormatError]:
        errors: list[FormatError] = []
        if isinstance(raw, dict) and (tag_field is None or raw.get(tag_field, tag) == tag):
            for name, check_field in fields:
                if name in raw and (nested := check_field(raw[name])):
                    _add(errors, name, nested)
        return errors

    return check


def _add(errors: list[FormatError], key: str | int, nested: Sequence[FormatError]) -> bool:
    """Add the errors of a nested value. Returns whether the limit is reached."""
    errors += [((key, *path), expected) for path, expected in nested]
    return len(errors) >= MAX_ERRORS


def _parts(kind: Any) -> Sequence[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        return kind.types
    if isinstance(kind, inspect.DictType):
        return kind.key_type, kind.value_type
    if isinstance(kind, inspect.TupleType):
        return kind.item_types
    if isinstance(kind, inspect.Metadata):
        return (kind.type,)
    if isinstance(kind, inspect.CollectionType):
        return (kind.item_type,)
    return [field.type for field in getattr(kind, "fields", ())]
