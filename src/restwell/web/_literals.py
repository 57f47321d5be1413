"""The text formats of values. Each type has one format in paths, queries, forms and JSON bodies (decision 24).

In a query or a form it is the JSON format without quotes.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from restwell._email_addresses import EmailAddress
from restwell.edge._route import UUID_TEXT

Parser = Callable[[str], Any]
"""Parses a text. Raises ValueError with the expected format."""

_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_OFFSET: Final = "(?:Z|[+-][0-9]{2}:[0-9]{2})"
_SECONDS: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?S)"
_VALID_IN_UTC: Final = "(?!(?:0001-01-01|9999-12-31).*[+-])"
"""Rejects an offset on the first and the last day of the calendar: the time in UTC may be out of range."""

_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,3})?"

_is_integer: Final = re.compile("0|-?[1-9][0-9]{0,99}").fullmatch
_is_number: Final = re.compile(_NUMBER).fullmatch


class Format(NamedTuple):
    """The format of a type that JSON represents as a string. ``name`` is the JSON Schema format."""

    name: str
    pattern: str
    expected: str
    matches: Callable[[str], object]


def _format(name: str, pattern: str, expected: str, lookahead: str = "") -> Format:
    return Format(name, pattern, f"Expected {expected}", re.compile(f"{lookahead}(?:{pattern})").fullmatch)


FORMATS: Final[dict[type[inspect.Type], Format]] = {
    inspect.UUIDType: _format("uuid", UUID_TEXT, "a UUID in lower case, such as 0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"),
    inspect.DateTimeType: _format(
        "date-time",
        f"{_DATE}T{_TIME}{_OFFSET}",
        "a date and time with an offset (RFC 3339), such as 2026-01-31T09:30:00Z",
        lookahead=_VALID_IN_UTC,
    ),
    inspect.TimeType: _format("time", f"{_TIME}{_OFFSET}?", "a time (RFC 3339), such as 09:30:00"),
    inspect.TimeDeltaType: _format(
        "duration",
        f"-?P(?!$)(?:[0-9]{{1,9}}D)?(?:T(?!$)(?:[0-9]{{1,12}}H)?(?:[0-9]{{1,12}}M)?{_SECONDS}?)?",
        "a duration of days, hours, minutes and seconds (ISO 8601), such as P1DT2H30M",
    ),
    inspect.DecimalType: _format("decimal", _NUMBER, "a number as a string, such as 2.5"),
}
"""Types for which the decoder accepts more than the documented format. It does not for dates, enums and base64."""


def own_format(kind: inspect.Type) -> Format | None:
    """The format of a Decimal with a pattern in its schema, as ``fixed_point`` gives it; otherwise None."""
    if not isinstance(kind, inspect.Metadata) or not isinstance(kind.type, inspect.DecimalType):
        return None
    schema = kind.extra_json_schema or {}
    pattern = schema.get("pattern")
    if pattern is None:
        return None
    expected = str(schema.get("description", "A number as a string, which matches the pattern")).removesuffix(".")
    return Format("decimal", pattern, f"Expected {expected[0].lower()}{expected[1:]}", re.compile(pattern).fullmatch)


@lru_cache(maxsize=512)
def text_parsers(kind: type[msgspec.Struct]) -> dict[str, Parser]:
    """The parser of each field, by encoded name. Raises TypeError for a field that has no single text format."""
    parsers = {}
    for field in inspect.type_info(kind).fields:  # type: ignore[attr-defined]  # of a Struct
        kinds = set(_leaves(field.type))
        # A union with str is read as str: no text is unambiguous in another type.
        [leaf] = {inspect.StrType} if inspect.StrType in kinds else kinds if len(kinds) == 1 else {None}
        parser = _PARSERS.get(leaf)
        if leaf is inspect.DecimalType:
            arms = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
            parser = _text_parser(next(filter(None, map(own_format, arms)), FORMATS[leaf]))
        if parser is None:
            raise TypeError(f"{kind.__name__}.{field.name} has no type with a single text format: {_SUPPORTED_TYPES}")
        parsers[field.encode_name] = parser
    return parsers


_SUPPORTED_TYPES: Final = (
    "use str, int, float, bool, UUID, Decimal, date, datetime, time, timedelta, an Enum or a Literal, "
    "or one of them | None"
)


def _leaves(kind: inspect.Type) -> Iterator[type[inspect.Type] | None]:
    """The types of a union and its nested types, without None."""
    if isinstance(kind, inspect.Metadata):
        yield from _leaves(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for arm in kind.types:
            yield from _leaves(arm)
    elif isinstance(kind, inspect.LiteralType):
        yield from (_LITERAL_TYPES.get(type(value)) for value in kind.values)
    elif isinstance(kind, inspect.EnumType):
        yield from (inspect.StrType if isinstance(member.value, str) else inspect.IntType for member in kind.cls)
    elif isinstance(kind, inspect.CustomType):
        yield inspect.StrType if kind.cls is EmailAddress else None
    elif not isinstance(kind, inspect.NoneType):
        yield type(kind)


def _parse_boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("Expected true or false")
    return text == "true"


def _parse_integer(text: str) -> int:
    if not _is_integer(text):
        raise ValueError("Expected an integer, such as 10")
    return int(text)


def _parse_number(text: str) -> float:
    if not _is_number(text):
        raise ValueError("Expected a number, such as 2.5")
    number = float(text)
    if not isfinite(number):
        raise ValueError("Number out of range")
    return number


def _text_parser(form: Format) -> Parser:
    def parse(text: str) -> str:
        if not form.matches(text):
            raise ValueError(form.expected)
        return text

    return parse


_LITERAL_TYPES: Final[dict[type, type[inspect.Type]]] = {str: inspect.StrType, int: inspect.IntType}
_PARSERS: Final[dict[Any, Parser]] = {
    inspect.StrType: str,
    inspect.DateType: str,
    inspect.BytesType: str,
    inspect.BoolType: _parse_boolean,
    inspect.IntType: _parse_integer,
    inspect.FloatType: _parse_number,
    **{kind: _text_parser(form) for kind, form in FORMATS.items()},
}
