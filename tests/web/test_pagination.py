"""Cursors are opaque, signed and valid only in their scope."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restwell.errors import Invalid, InvalidCursor
from restwell.web import Cursors, PageFilter
from restwell.web._decoding import decode_query
from restwell.web._pagination import MAX_CURSOR_CHARS

cursors = Cursors(b"k" * 32)
POSITION = (datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), UUID(int=7))


def test_a_cursor_decodes_to_its_position() -> None:
    assert cursors.decode("list", cursors.encode("list", POSITION), tuple[datetime, UUID]) == POSITION


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_every_text_and_number_may_be_a_position(text: str, number: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert cursors.decode("list", cursors.encode("list", (text, number)), tuple[str, int]) == (text, number)


@given(st.text(max_size=60))
def test_a_text_that_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", text, tuple[str, int])


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "-{}", "{}A"])
def test_another_spelling_of_a_cursor_is_refused(change: str) -> None:
    """Seen to fail: padding was accepted, and so were other last bits."""
    cursor = cursors.encode("list", (1,))
    with pytest.raises(InvalidCursor):
        cursors.decode("list", change.format(cursor), tuple[int])


def test_a_cursor_with_other_last_bits_is_refused() -> None:
    cursor = next(cursor for text in ("", "a", "aa") if len(cursor := cursors.encode("list", (text,))) % 4 == 2)
    last = ord(cursor[-1])
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursor[:-1] + chr(last + 1), tuple[str])


def test_a_cursor_of_another_list_or_key_is_refused() -> None:
    cursor = cursors.encode("list", (1,))
    with pytest.raises(InvalidCursor):
        cursors.decode("other", cursor, tuple[int])
    with pytest.raises(InvalidCursor):
        Cursors(b"x" * 32).decode("list", cursor, tuple[int])


def test_a_cursor_with_values_of_other_types_is_refused() -> None:
    """Seen to fail: such a cursor caused a ValidationError of msgspec, a 500."""
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", ("a", 1)), tuple[datetime, UUID])


def test_a_cursor_with_another_number_of_values_is_refused() -> None:
    """Seen to fail: the cursor of a release with other sort columns caused a 500."""
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", ("name",)), tuple[int, UUID])


def test_the_longest_cursor_is_accepted() -> None:
    """Seen to fail: a name of 200 emoji gave a cursor longer than the accepted maximum."""
    assert len(cursors.encode("list", ("\N{ELECTRIC LIGHT BULB}" * 200, UUID(int=7)))) <= MAX_CURSOR_CHARS


def test_the_last_page_has_no_cursor() -> None:
    assert cursors.page("list", [1, 2], 2, lambda row: (row,)).next_cursor is None
    assert cursors.page("list", [1, 2, 3], 2, lambda row: (row,)).items == [1, 2]
    assert cursors.page("list", [1, 2, 3], 2, lambda row: (row,)).next_cursor == cursors.encode("list", (2,))
    assert cursors.page("list", [], 2, lambda row: (row,)).next_cursor is None


@pytest.mark.parametrize(
    "query", [b"cursor=", b"limit=", b"limit=5&cursor=", b"cursor=" + b"a" * (MAX_CURSOR_CHARS + 1)]
)
def test_a_parameter_without_a_value_is_refused(query: bytes) -> None:
    """Breaks when an empty cursor is accepted: the list starts again at the first page."""
    with pytest.raises(Invalid):
        decode_query(query, PageFilter)
