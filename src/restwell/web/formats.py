"""The texts of a JSON body that are more than texts: each written as its type is everywhere, which the decoder does not ask for."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from msgspec import inspect

from restwell.errors import FieldError
from restwell.web.literals import FORMATS
from restwell.web.validation import MAX_FAULTS, short

Fault = tuple[tuple[str | int, ...], str]
"""Where below a value, by names and places, and what is expected there."""

Check = Callable[[Any], Sequence[Fault]]
"""Looks at what the body says, before it is made what the handler takes. A value of another shape than the type's it passes over: the
decoder refuses that.
"""

_PATTERNS: Final = {form.name: f"^(?:{form.pattern})$" for form in FORMATS.values()}


@lru_cache(maxsize=512)
def check_of(kind: Any) -> Check | None:
    """None for a type that has no such texts in it: its bodies pay nothing."""
    return _Checks().of(inspect.type_info(kind))


def as_errors(faults: Sequence[Fault]) -> list[FieldError]:
    return [FieldError(short(f"${''.join(map(_step, path))}"), expected) for path, expected in faults[:MAX_FAULTS]]


def undecided_in(kind: Any) -> Iterator[str]:
    """What the type leaves open, so that a client could not be told how to write it; and the cure."""
    for one in _within(inspect.type_info(kind), {}):
        if isinstance(one, inspect.DateTimeType) and one.tz is not True:
            yield "a datetime that need not have an offset: annotate it as Annotated[datetime, Meta(tz=True)]"
        if isinstance(one, inspect.TimeType) and one.tz is None:
            yield "a time with or without an offset: annotate it as Annotated[time, Meta(tz=False)], or tz=True"


def add_patterns(schema: Any) -> None:
    """To what has a format, everywhere in it. The formats of JSON Schema say less than what is asked: a UUID may have capitals there."""
    if isinstance(schema, dict):
        pattern = _PATTERNS.get(schema.get("format", "")) if schema.get("type") == "string" else None
        if pattern is not None:
            schema["pattern"] = pattern
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ():
        add_patterns(inner)


def _step(key: str | int) -> str:
    return f"[{key}]" if isinstance(key, int) else f".{short(key)}"


class _Checks:
    """Makes the checks of one type, which may hold itself."""

    def __init__(self) -> None:
        self._made: dict[int, Check] = {}

    def of(self, one: inspect.Type) -> Check | None:
        if isinstance(one, inspect.Metadata):
            return self.of(one.type)
        if type(one) in FORMATS:
            return _of_text(type(one))
        if not any(type(part) in FORMATS for part in _within(one, {})):
            return None
        if id(one) not in self._made:
            self._made[id(one)] = lambda raw: made(raw)  # noqa: PLW0108  # it is made below, of itself
            made = self._made[id(one)] = self._of_parts(one)
        return self._made[id(one)]

    def _of_parts(self, one: Any) -> Check:
        if isinstance(one, inspect.UnionType):
            return _of_any([check for arm in one.types if (check := self.of(arm)) is not None])
        if isinstance(one, inspect.DictType):
            return _of_dict(self.of(one.key_type), self.of(one.value_type))
        if isinstance(one, inspect.CollectionType):
            return _of_list(cast("Check", self.of(one.item_type)))  # its items have one, or it would have none
        if isinstance(one, inspect.TupleType | inspect.NamedTupleType):
            return _of_places([self.of(part) for part in _parts(one)], None)
        tag = getattr(one, "tag", None)
        if getattr(one, "array_like", False):
            places = [self.of(part) for part in _parts(one)]
            return _of_places(places if tag is None else [None, *places], tag)
        fields = [(field.encode_name, self.of(field.type)) for field in one.fields]
        return _of_object([(name, of) for name, of in fields if of is not None], getattr(one, "tag_field", None), tag)


def _of_text(kind: type[inspect.Type]) -> Check:
    is_written, wrong = FORMATS[kind].is_written, (((), FORMATS[kind].expected),)

    def check(raw: Any) -> Sequence[Fault]:
        if isinstance(raw, str):
            return () if is_written(raw) else wrong
        # The decoder makes decimals of numbers too, though what is sent as a number need not arrive as it was.
        return wrong if kind is inspect.DecimalType and type(raw) in {int, float} else ()

    return check


def _of_any(arms: list[Check]) -> Check:
    """At most one of them is for values of this shape, or with this tag."""
    if len(arms) == 1:
        return arms[0]
    return lambda raw: next((found for arm in arms if (found := arm(raw))), ())


def _of_list(of: Check) -> Check:
    def check(raw: Any) -> Sequence[Fault]:
        found: list[Fault] = []
        for place, one in enumerate(raw if isinstance(raw, list) else ()):
            if (inner := of(one)) and _is_enough(found, place, inner):
                break
        return found

    return check


def _of_places(checks: list[Check | None], tag: Any) -> Check:
    def check(raw: Any) -> Sequence[Fault]:
        found: list[Fault] = []
        if isinstance(raw, list) and (tag is None or raw[:1] == [tag]):
            for place, (one, of) in enumerate(zip(raw, checks, strict=False)):
                if of is not None and (inner := of(one)):
                    _is_enough(found, place, inner)
        return found

    return check


def _of_dict(of_key: Check | None, of_value: Check | None) -> Check:
    def check(raw: Any) -> Sequence[Fault]:
        found: list[Fault] = []
        for name, value in (raw if isinstance(raw, dict) else {}).items():
            inner = [*(of_key(name) if of_key is not None else ()), *(of_value(value) if of_value is not None else ())]
            if inner and _is_enough(found, name, inner):
                break
        return found

    return check


def _of_object(fields: list[tuple[str, Check]], tag_field: str | None, tag: Any) -> Check:
    def check(raw: Any) -> Sequence[Fault]:
        found: list[Fault] = []
        if isinstance(raw, dict) and (tag_field is None or raw.get(tag_field, tag) == tag):
            for name, of in fields:
                if name in raw and (inner := of(raw[name])):
                    _is_enough(found, name, inner)
        return found

    return check


def _is_enough(found: list[Fault], key: str | int, inner: Sequence[Fault]) -> bool:
    """With what was found below one more value."""
    found += [((key, *path), expected) for path, expected in inner]
    return len(found) >= MAX_FAULTS


def _within(one: inspect.Type, seen: dict[int, inspect.Type]) -> Iterator[inspect.Type]:
    """Itself and every type in it, each once."""
    if id(one) not in seen:
        seen[id(one)] = one
        yield one
        for part in _parts(one):
            yield from _within(part, seen)


def _parts(one: Any) -> Sequence[inspect.Type]:
    if isinstance(one, inspect.UnionType):
        return one.types
    if isinstance(one, inspect.DictType):
        return one.key_type, one.value_type
    if isinstance(one, inspect.TupleType):
        return one.item_types
    if isinstance(one, inspect.Metadata):
        return (one.type,)
    if isinstance(one, inspect.CollectionType):
        return (one.item_type,)
    return [field.type for field in getattr(one, "fields", ())]
