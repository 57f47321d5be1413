"""How a value is written: one grammar for each type, wherever it comes in. In a query or a form it is that of JSON without its quotes.

Decision 24 (docs/decisions) says which, and why.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

Reader = Callable[[str], Any]
"""Makes a text what it says. Raises ValueError, which says how it is written."""

UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_OFFSET: Final = "(?:Z|[+-][0-9]{2}:[0-9]{2})"
_SECONDS: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?S)"
_IN_UTC: Final = "(?!(?:0001-01-01|9999-12-31).*[+-])"
"""On the first and the last day of the calendar: with an offset there may be no such time in UTC."""

_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,3})?"

_is_integer: Final = re.compile("0|-?[1-9][0-9]{0,99}").fullmatch
_is_number: Final = re.compile(_NUMBER).fullmatch


class Format(NamedTuple):
    """A type that JSON has as a text. ``name`` is what JSON Schema calls it, ``expected`` what a client is told."""

    name: str
    pattern: str
    expected: str
    is_written: Callable[[str], object]


def _format(name: str, pattern: str, expected: str, only: str = "") -> Format:
    return Format(name, pattern, f"Expected {expected}", re.compile(f"{only}(?:{pattern})").fullmatch)


FORMATS: Final[dict[type[inspect.Type], Format]] = {
    inspect.UUIDType: _format("uuid", UUID, "a UUID in lower case, such as 0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"),
    inspect.DateTimeType: _format(
        "date-time",
        f"{_DATE}T{_CLOCK}{_OFFSET}",
        "a date and time with an offset (RFC 3339), such as 2026-01-31T09:30:00Z",
        only=_IN_UTC,
    ),
    inspect.TimeType: _format("time", f"{_CLOCK}{_OFFSET}?", "a time (RFC 3339), such as 09:30:00"),
    inspect.TimeDeltaType: _format(
        "duration",
        f"-?P(?!$)(?:[0-9]{{1,9}}D)?(?:T(?!$)(?:[0-9]{{1,12}}H)?(?:[0-9]{{1,12}}M)?{_SECONDS}?)?",
        "a duration of days, hours, minutes and seconds (ISO 8601), such as P1DT2H30M",
    ),
    inspect.DecimalType: _format("decimal", _NUMBER, "a number as a string, such as 2.5"),
}
"""The types that the decoder reads more kindly than this. Dates, members of an enumeration and base64 have one way there too."""


@lru_cache(maxsize=512)
def readers_of(kind: type[msgspec.Struct]) -> dict[str, Reader]:
    """For each field, by the name it is sent as. Raises TypeError for a field of a type that no text has."""
    readers = {}
    for one in inspect.type_info(kind).fields:  # type: ignore[attr-defined]  # of a Struct
        kinds = set(_leaves(one.type))
        # A text, where there may be one: then nothing tells it from anything else.
        [found] = {inspect.StrType} if inspect.StrType in kinds else kinds if len(kinds) == 1 else {None}
        reader = _READERS.get(found)
        if reader is None:
            raise TypeError(f"{kind.__name__}.{one.name} has no type that is written as one text: {_TEXTS}")
        readers[one.encode_name] = reader
    return readers


_TEXTS: Final = "use str, int, float, bool, UUID, Decimal, date, datetime, time, timedelta, an Enum or a Literal, or one of them | None"


def _leaves(one: inspect.Type) -> Iterator[type[inspect.Type] | None]:
    """The types that a value may have besides None."""
    if isinstance(one, inspect.Metadata):
        yield from _leaves(one.type)
    elif isinstance(one, inspect.UnionType):
        for arm in one.types:
            yield from _leaves(arm)
    elif isinstance(one, inspect.LiteralType):
        yield from (_OF_VALUES.get(type(value)) for value in one.values)
    elif isinstance(one, inspect.EnumType):
        yield from (inspect.StrType if isinstance(member.value, str) else inspect.IntType for member in one.cls)
    elif not isinstance(one, inspect.NoneType):
        yield type(one)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("Expected true or false")
    return text == "true"


def _integer(text: str) -> int:
    if not _is_integer(text):
        raise ValueError("Expected an integer, such as 10")
    return int(text)


def _number(text: str) -> float:
    if not _is_number(text):
        raise ValueError("Expected a number, such as 2.5")
    number = float(text)
    if not isfinite(number):
        raise ValueError("Number out of range")
    return number


def _reader_of(form: Format) -> Reader:
    def read(text: str) -> str:
        if not form.is_written(text):
            raise ValueError(form.expected)
        return text

    return read


_OF_VALUES: Final[dict[type, type[inspect.Type]]] = {str: inspect.StrType, int: inspect.IntType}
_READERS: Final[dict[Any, Reader]] = {
    inspect.StrType: str,
    inspect.DateType: str,
    inspect.BytesType: str,
    inspect.CustomType: str,
    inspect.BoolType: _boolean,
    inspect.IntType: _integer,
    inspect.FloatType: _number,
    **{kind: _reader_of(form) for kind, form in FORMATS.items()},
}
