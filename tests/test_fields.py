"""Types of fields: which texts and points in time they accept."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import pytest
from msgspec import Meta, ValidationError, convert, json

from restwell.fields import Instant, MultiLineText, SingleLineText, anchored, deprecated


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
