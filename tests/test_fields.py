"""Types of fields: which texts and points in time they accept."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, ValidationError, convert, json

from restwell.errors import Invalid
from restwell.fields import Instant, MultiLineText, SingleLineText, anchored, deprecated, fixed_point
from restwell.web._decoding import decode_body, decode_query
from restwell.web._openapi_schemas import ComponentSchemas


def accepts(kind: Any, value: object) -> bool:
    try:
        json.decode(json.encode(value), type=kind)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("text", ["a", "Ada Löwe", " padded ", "😀" * 200, "a\u2028b", "$(?!)"])
def test_a_line_is_any_text(text: str) -> None:
    assert convert(text, SingleLineText) == text
    assert accepts(MultiLineText, text)


@pytest.mark.parametrize("text", ["", " ", "\u00a0\u2003", "a\nb", "a\n", "\na", "a\tb", "a\x00", "a\x7f", "a" * 201])
def test_a_line_is_not_blank_and_has_no_control_character(text: str) -> None:
    """Breaks with a bare ``$``, which also matches before a final line feed."""
    assert not accepts(SingleLineText, text)


@pytest.mark.parametrize("text", ["", "a\n", "a\r\n\tb\n", "a" * 5_000])
def test_lines_may_have_tabs_and_line_ends(text: str) -> None:
    assert convert(text, MultiLineText) == text


@pytest.mark.parametrize("text", ["a\x00", "\x0b", "a\x1b[0m", "a\x7f", "a" * 5_001])
def test_lines_have_no_other_control_characters(text: str) -> None:
    """A NUL would be a 500: PostgreSQL does not store it."""
    assert not accepts(MultiLineText, text)


def test_an_anchored_pattern_matches_the_whole_string() -> None:
    """Breaks without the group around the alternatives, and with a bare ``$``."""
    kind = Annotated[str, Meta(pattern=anchored("a|b"))]
    assert [text for text in ("a", "b", "ab", "ax", "xb", "a\n", "b\n", "") if accepts(kind, text)] == ["a", "b"]


def test_a_point_in_time_has_a_time_zone() -> None:
    assert convert("2026-11-27T23:00:00Z", Instant) == datetime(2026, 11, 27, 23, tzinfo=UTC)
    assert not accepts(Instant, "2026-11-27T23:00:00")


def test_a_deprecated_field_accepts_what_it_accepted() -> None:
    kind = Annotated[int, Meta(ge=1), deprecated(since=date(2026, 12, 1), instead="price")]
    assert (accepts(kind, 1), accepts(kind, 0)) == (True, False)


def test_a_field_is_deprecated_since_a_date() -> None:
    with pytest.raises(TypeError, match="since must be a date, not '2026-12-01'"):
        deprecated(since="2026-12-01")  # type: ignore[arg-type]  # the error
    with pytest.raises(TypeError, match="sunset must be a date, not 1"):
        deprecated(since=date(2026, 12, 1), sunset=1)  # type: ignore[arg-type]  # the error
    with pytest.raises(TypeError, match="the sunset 2026-11-30 is before the deprecation 2026-12-01"):
        deprecated(since=date(2026, 12, 1), sunset=date(2026, 11, 30))


class Priced(Struct):
    price: Annotated[Decimal, fixed_point(4, 2)]
    cost: Annotated[Decimal, fixed_point(18, 6, signed=False)] | None = None


@pytest.mark.parametrize(
    ("price", "cost"),
    [("0", "0.000001"), ("-12.5", "999999999999.999999"), ("99.99", None), ("-0.01", "1")],
)
def test_a_decimal_within_its_digits_is_accepted(price: str, cost: str | None) -> None:
    sent = {"price": price, "cost": cost}
    assert json.decode(json.encode(decode_body(json.encode(sent), Priced))) == sent


@pytest.mark.parametrize("price", ["100", "0.001", "1e1", "", "01", "1.", ".5", "+1", "-", "1\n", 1.5, 1])
def test_a_decimal_with_other_digits_or_of_another_form_is_refused(price: object) -> None:
    """Fails if only the document has the pattern: PostgreSQL would raise an error, which is a 500."""
    with pytest.raises(Invalid) as raised:
        decode_body(json.encode({"price": price}), Priced)
    [error] = raised.value.errors
    assert (error.path, error.message) == (
        "$.price",
        "Expected a number as a string, with at most 2 digits before the point and 2 after it",
    )


def test_a_decimal_of_a_query_is_within_its_digits_too() -> None:
    """Fails if a query takes what the document does not allow."""
    assert decode_query(b"price=1.25&cost=3", Priced).cost == 3
    for query in (b"price=100", b"price=1&cost=-1"):
        with pytest.raises(Invalid):
            decode_query(query, Priced)


def test_the_schema_of_a_decimal_has_its_pattern() -> None:
    """Fails if the pattern of any decimal replaces it."""
    components = ComponentSchemas([Priced]).components
    assert components["Priced"]["properties"]["price"] == {
        "type": "string",
        "format": "decimal",
        "description": "A number as a string, with at most 2 digits before the point and 2 after it.",
        "pattern": r"^-?(?:0|[1-9][0-9]{0,1})(?:\.[0-9]{1,2})?$",
    }


@pytest.mark.parametrize(("digits", "places"), [(2, 0), (10, 7), (2, 2)])
def test_a_decimal_that_json_or_the_database_cannot_hold_is_an_error(digits: int, places: int) -> None:
    with pytest.raises(ValueError, match="write 1 to 6 digits after the point, and some before it"):
        fixed_point(digits, places)
