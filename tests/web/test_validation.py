"""Every field error of an input is found, within a limit of work."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from restwell.errors import FieldError
from restwell.web._validation import MAX_CHARS, MAX_ERRORS, MAX_VISITED_VALUES, decode_hook, find_field_errors


class Line(Struct, forbid_unknown_fields=True):
    product: Annotated[str, Meta(max_length=5)]
    count: int = msgspec.field(name="quantity")


class Gift(Struct, forbid_unknown_fields=True):
    lines: list[Line] | None
    first: Annotated[Line | None, Meta(description="The first.")] = None
    tags: list[str] = []


def faults(raw: Any, kind: Any = Gift) -> list[FieldError]:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(raw, kind, dec_hook=decode_hook)
    return find_field_errors(raw, kind, refused.value)


def test_every_fault_is_named_by_its_path() -> None:
    """Breaks with the decoder alone, which names the first, and when a union or an annotation hides a Struct."""
    raw = {
        "lines": [{"product": 1, "quantity": "x"}, {"product": "a", "quantity": 1}, {"count": 1}],
        "first": {"product": "too long"},
        "tags": ["a", 5],
        "more": 1,
    }
    assert [(fault.path, fault.message) for fault in faults(raw)] == [
        ("$.lines[0].product", "Expected `str`, got `int`"),
        ("$.lines[0].quantity", "Expected `int`, got `str`"),
        ("$.lines[2].product", "required"),
        ("$.lines[2].quantity", "required"),
        ("$.lines[2].count", "unknown field"),
        ("$.first.product", "Expected `str` of length <= 5"),
        ("$.first.quantity", "required"),
        ("$.tags[1]", "Expected `str`, got `int`"),
        ("$.more", "unknown field"),
    ]


@pytest.mark.parametrize(
    ("raw", "path"),
    [(5, "$"), ({"lines": 5}, "$.lines"), ({"lines": [5]}, "$.lines[0]"), ({"lines": {"a": 1}}, "$.lines")],
)
def test_a_value_of_another_type_is_one_fault(raw: Any, path: str) -> None:
    assert [fault.path for fault in faults(raw)] == [path]


def test_the_number_and_the_length_of_the_faults_are_bounded() -> None:
    """Breaks when the names of unknown fields are not truncated: the response is then larger than the request."""
    found = faults({"lines": None, **{"n" * 10_000 + str(number): 1 for number in range(100)}})
    assert len(found) == MAX_ERRORS
    assert max(len(fault.path + fault.message) for fault in found) < 2 * MAX_CHARS


def test_a_fault_behind_the_limit_of_visited_values_is_still_named() -> None:
    """Breaks when an input without a visited fault has no error."""
    raw = [*range(2 * MAX_VISITED_VALUES), "x"]
    assert faults(raw, list[int]) == [FieldError(f"$[{2 * MAX_VISITED_VALUES}]", "Expected `int`, got `str`")]


def test_no_more_values_are_visited_than_the_limit() -> None:
    """Breaks without the limit: a body of a million fields blocks the event loop for seconds."""
    visited: list[Any] = []

    class Counted(Struct):
        number: Annotated[int, Meta(ge=0)]

    class Raw(dict[str, Any]):
        def __contains__(self, name: object) -> bool:
            visited.append(name)
            return super().__contains__(name)

    raw = [Raw(number=1) for _ in range(2 * MAX_VISITED_VALUES)]
    find_field_errors(raw, list[Counted], msgspec.ValidationError("Expected `int` - at `$[9].number`"))
    assert len(visited) < MAX_VISITED_VALUES
