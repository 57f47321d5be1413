"""Each type has one text format: queries, forms and JSON bodies accept the same values."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import pytest
from msgspec import Meta, defstruct

from restwell.email_addresses import EmailAddress
from restwell.errors import Invalid, MalformedRequest
from restwell.web._decoding import decode_body, decode_form
from restwell.web._literals import FORMATS

ID = "018f0000-abcd-7000-8000-000000000001"
DAY = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)

T = TypeVar("T")


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Word(Enum):
    YES = "yes"


Moment = Annotated[datetime, Meta(tz=True)]

READ: list[tuple[Any, dict[str, Any]]] = [
    (UUID, {ID: UUID(ID)}),
    (
        Moment,
        {
            "2026-01-31T09:30:00Z": DAY,
            "2026-01-31T09:30:00.000000Z": DAY,
            "2026-01-31T09:30:00.123456789Z": DAY.replace(microsecond=123_457),
            "2026-01-31T10:30:00+01:00": DAY,
            "2026-01-31T09:30:00-00:00": DAY,
            "0001-01-01T00:00:00Z": datetime(1, 1, 1, tzinfo=UTC),
            "9999-12-31T23:59:59.999999Z": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            "0001-01-02T00:00:00+23:59": datetime(1, 1, 2, tzinfo=timezone(timedelta(hours=23, minutes=59))),
        },
    ),
    (date, {"2026-01-31": date(2026, 1, 31), "2024-02-29": date(2024, 2, 29)}),
    (Annotated[time, Meta(tz=False)], {"09:30:00": time(9, 30), "09:30:00.5": time(9, 30, 0, 500_000)}),
    (Annotated[time, Meta(tz=True)], {"09:30:00Z": time(9, 30, tzinfo=UTC)}),
    (
        timedelta,
        {
            "PT1H": timedelta(hours=1),
            "P1DT2H30M": timedelta(days=1, hours=2, minutes=30),
            "P0D": timedelta(),
            "PT0.000001S": timedelta(microseconds=1),
            "-PT5S": timedelta(seconds=-5),
        },
    ),
    (
        Decimal,
        {
            "2.50": Decimal("2.50"),
            "-0.1": Decimal("-0.1"),
            "0": Decimal(0),
            "1E-20": Decimal("1E-20"),
            "1" * 100: Decimal("1" * 100),
        },
    ),
    (Color, {"red": Color.RED}),
    (Word, {"yes": Word.YES}),
    (Literal["a", "b"], {"a": "a"}),
    (EmailAddress, {"a@example.com": EmailAddress("a@example.com")}),
    (bytes, {"YQ==": b"a"}),
    (str, {"": "", "null": "null", " 1": " 1", "\uff11": "\uff11"}),
]
REFUSED: list[tuple[Any, list[str]]] = [
    (
        UUID,
        [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", f"{ID}\n", f" {ID}", ID[:-1],
        f"{ID[:-1]}\u0661", "null"],
    ),
    (
        Moment,
        [
            "2026-01-31t09:30:00z",
            "2026-01-31T09:30:00z",
            "2026-01-31 09:30:00Z",
            "2026-01-31_09:30:00Z",
            "2026-01-31T09:30:00",
            "2026-01-31T09:30:00+0100",
            "2026-01-31T09:30:00+01",
            "2026-01-31T09:30:00+24:00",
            "2026-01-31T09:30Z",
            "2026-01-31T09:30:00,5Z",
            "2026-01-31T09:30:00.Z",
            "2026-01-31T09:30:60Z",
            "2026-01-31T24:00:00Z",
            "2026-02-30T09:30:00Z",
            "20260131T093000Z",
            "2026-W05-6T09:30:00Z",
            "2026-01-31",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "9999-12-31T23:59:59.9999999Z",
            "2026-01-31T09:30:00Z\n",
            "\uff12026-01-31T09:30:00Z",
            "1700000000",
            "now",
            "null",
        ],
    ),
    (date, ["20260131", "2026-W05-6", "2026-031", "2026-1-31", "2026-02-30", "2026-01-31T00:00:00Z", "2026-01-31\n",
    "0", "null"]),
    (Annotated[time, Meta(tz=False)], ["09:30", "9:30:00", "T09:30:00", "24:00:00", "09:30:00Z", "09:30:60", "093000",
    "null"]),
    (Annotated[time, Meta(tz=True)], ["09:30:00z", "09:30:00", "09:30:00+0100", "09:30:00+01", "null"]),
    (
        timedelta,
        ["+PT1H", "pt1h", "PT0.5H", "P1W", "P1Y", "PT", "P", "P1DT", "PT1,5S", "PT1.1234567S", "1:00:00", "3600",
        "P1000000000D", "null"],
    ),
    (
        Decimal,
        ["1E999999999", "+1", "01", ".5", "5.", " 1", "1_0", "\uff11", "NaN", "sNaN", "Infinity", "inf", "0x1",
        "1" * 101, "null"],
    ),
    (Color, ["RED", "Red", "red ", "Color.RED", "null"]),
    (Word, ["YES", "Yes", "null"]),
    (Literal["a", "b"], ["A", "c", "a ", "null"]),
    (EmailAddress, ["a", "a@example.com\n", "<a@example.com>", "null"]),
    (bytes, ["YQ", "YQ=", "Y Q==", "YQ==\n", "_-8="]),
]  # fmt: skip

# Of these JSON has literals, which have no quotes there and none in a query.
LITERALS: list[tuple[Any, str, Any]] = [
    (int, "0", 0),
    (int, "-5", -5),
    (bool, "true", True),
    (bool, "false", False),
    (float, "2", 2.0),
    (float, "2.50", 2.5),
    (float, "1e1", 10.0),
    (float, "-1.5E-2", -0.015),
    (Size, "1", Size.SMALL),
    (Literal[1, 2], "2", 2),
]
NO_LITERALS: list[tuple[Any, list[str]]] = [
    (int, ["1.0", "1e1", "+1", "01", "- 1", "1_0", "0x1", "\uff11", "null", "true", "1" * 5_000]),
    (Size, ["1.0", "2", "+1", "null", "true"]),
    (Literal[1, 2], ["3", "1.0", "null", "true"]),
    (bool, ["1", "0", "True", "TRUE", "yes", "null"]),
    (float, ["nan", "NaN", "Infinity", "1.", ".5", "+1", "01", "1e999", "1,5", "null", "true"]),
]


def read(place: str, kind: Any, text: str, *, quoted: bool = True) -> Any:
    """The value in a query, a form, a body, or a list or map in a body. ``quoted``: it is a string in JSON."""
    one = defstruct("One", [("value", kind)], frozen=True)
    if place == "query":
        return decode_form(f"value={''.join(f'%{byte:02X}' for byte in text.encode())}".encode(), one).value
    said = json.dumps(text) if quoted else text
    if place == "body":
        return decode_body(f'{{"value": {said}}}'.encode(), one).value
    if place == "optional":
        return decode_body(f'{{"value": {said}}}'.encode(), defstruct("Maybe", [("value", kind | None, None)])).value
    if place == "item":
        return decode_body(f"[[{said}]]".encode(), list[Annotated[list[kind], Meta(min_length=1, max_length=1)]])[0][0]
    return next(iter(decode_body(f'{{"a": {said}}}'.encode(), dict[str, kind]).values()))


PLACES = ["query", "body", "optional", "item", "map"]


IN_JSON = ["body", "optional", "item", "map"]


def accepted(places: list[str], kind: Any, texts: list[str], *, quoted: bool = True) -> list[tuple[str, str]]:
    """The places and texts that are not refused."""
    found = []
    for place in places:
        for text in texts:
            try:
                read(place, kind, text, quoted=quoted)
            except (Invalid, MalformedRequest):
                continue
            found.append((place, text))
    return found


@pytest.mark.parametrize(("kind", "values"), READ)
def test_a_canonical_text_is_parsed_at_every_place(kind: Any, values: dict[str, Any]) -> None:
    for text, value in values.items():
        for place in PLACES:
            assert read(place, kind, text) == value, (place, text)


@pytest.mark.parametrize(("kind", "texts"), REFUSED)
def test_a_text_that_is_not_canonical_is_refused_at_every_place(kind: Any, texts: list[str]) -> None:
    """Breaks with the decoder alone: it accepts `t`, `z`, a space, no offset, upper-case UUIDs, and `NaN`."""
    assert accepted(PLACES, kind, [*texts, *([""] if kind is not bytes else [])]) == []


@pytest.mark.parametrize(("kind", "text", "value"), LITERALS)
def test_a_canonical_literal_is_parsed_at_every_place(kind: Any, text: str, value: Any) -> None:
    for place in PLACES:
        got = read(place, kind, text, quoted=False)
        assert (got, type(got)) == (value, type(value)), place


@pytest.mark.parametrize(("kind", "texts"), NO_LITERALS)
def test_a_literal_that_is_not_canonical_is_refused_at_every_place(kind: Any, texts: list[str]) -> None:
    """Such a body may be malformed JSON. `null` is the value of a nullable field only in JSON."""
    assert accepted(PLACES, kind, ["", *texts], quoted=False) == [("optional", "null")]


@pytest.mark.parametrize("kind", [int, float, bool, Size])
def test_a_literal_in_quotes_is_refused(kind: Any) -> None:
    assert accepted(IN_JSON, kind, ["1", "true", "1.0"]) == []


@pytest.mark.parametrize("kind", [kind for kind, _ in READ])
def test_a_number_in_place_of_a_text_is_refused(kind: Any) -> None:
    """Breaks with the decoder alone: a decimal may be a number, and formatting `1e999999999` takes a gigabyte."""
    assert accepted(IN_JSON, kind, ["1700000000", "1.5", "1e999999999", "true"], quoted=False) == []


def test_the_openapi_document_has_the_patterns_of_the_grammar() -> None:
    """Breaks when OpenAPI has formats without patterns: a valid UUID in upper case is rejected."""
    patterns = {form.name: re.compile(f"^(?:{form.pattern})$", re.ASCII) for form in FORMATS.values()}
    names = {UUID: "uuid", Moment: "date-time", timedelta: "duration", Decimal: "decimal"}
    for kind, texts in READ:
        if kind in names:
            assert [text for text in texts if not patterns[names[kind]].search(text)] == []
    for kind, refused in REFUSED:
        if kind is UUID:
            assert [text for text in refused if patterns["uuid"].search(text) and not text.endswith("\n")] == []
