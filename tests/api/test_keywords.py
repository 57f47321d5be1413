"""Differences of the keywords of one type, at their limits."""

from typing import Any

import pytest

from restwell._api._arms import arms_of
from restwell._api._keywords import is_within, keyword_differences

Json = dict[str, Any]
INT: Json = {"type": "integer"}
NUM: Json = {"type": "number"}
TEXT: Json = {"type": "string"}


def differences(old: Json, new: Json) -> list[tuple[str, bool, bool]]:
    ((before,), (after,)) = arms_of(old, {}), arms_of(new, {})
    return [(each.what, each.restricts, each.extends) for each in keyword_differences(before, after)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INT | {"exclusiveMinimum": 0}, INT | {"minimum": 1}),
        (INT | {"exclusiveMaximum": 10}, INT | {"maximum": 9}),
        (INT | {"minimum": 0.5}, INT | {"minimum": 1}),
        (INT | {"minimum": 1, "exclusiveMinimum": 0}, INT | {"minimum": 1}),
        (TEXT | {"minLength": 0}, TEXT),
        ({"type": "array", "uniqueItems": False}, {"type": "array"}),
        ({"const": 1.0}, {"enum": [1]}),
    ],
)
def test_equal_limits_in_other_words_are_no_difference(old: Json, new: Json) -> None:
    assert differences(old, new) == []
    assert differences(new, old) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (INT | {"maximum": 9}, INT | {"maximum": 10}, "maximum 9 -> 10"),
        (NUM | {"exclusiveMaximum": 9}, NUM | {"maximum": 9}, "maximum 9 (excluded) -> 9"),
        (NUM | {"exclusiveMinimum": 9}, NUM | {"minimum": 9}, "minimum 9 (excluded) -> 9"),
        (INT | {"minimum": 3}, INT, "minimum 3 -> none"),
        (TEXT | {"maxLength": 3}, TEXT, "maxLength 3 -> none"),
        (INT | {"multipleOf": 4}, INT | {"multipleOf": 2}, "multipleOf 4 -> 2"),
        (NUM | {"multipleOf": 0.3}, NUM | {"multipleOf": 0.1}, "multipleOf 0.3 -> 0.1"),
        (INT | {"multipleOf": 4}, INT, "multipleOf 4 -> none"),
        (INT, NUM, "integer -> number"),
        ({"enum": ["a"]}, {"enum": ["b", "a"]}, 'added: "b"'),
        (TEXT | {"enum": ["abc"]}, TEXT | {"maxLength": 3}, "no longer limited to an enumeration"),
        (INT | {"enum": [4]}, INT | {"multipleOf": 2}, "no longer limited to an enumeration"),
        (TEXT | {"format": "date"}, TEXT, "format date -> none"),
        (TEXT | {"format": "date", "pattern": "^2"}, TEXT, "format date -> none"),
    ],
)
def test_a_wider_limit_only_extends_and_the_reverse_only_restricts(old: Json, new: Json, what: str) -> None:
    """Breaks when an excluded limit is compared as an included one, and when a step is compared as a float."""
    assert differences(old, new) == [(what, False, True)]
    ((_, restricts, extends),) = differences(new, old)
    assert (restricts, extends) == (True, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TEXT | {"enum": ["abcd"]}, TEXT | {"maxLength": 3}),
        (TEXT | {"enum": ["a"]}, TEXT | {"pattern": "^a"}),
        (INT | {"enum": [3]}, INT | {"multipleOf": 2}),
        (TEXT | {"pattern": "^a"}, TEXT | {"pattern": "^b"}),
        (INT | {"multipleOf": 3}, INT | {"multipleOf": 2}),
    ],
)
def test_what_is_not_known_to_be_wider_does_both(old: Json, new: Json) -> None:
    assert [flags for _, *flags in differences(old, new)] == [[True, True]]


def test_an_alternative_is_within_another_only_if_that_is_certain() -> None:
    (any_value,), (integer,), (number,), (array,) = (
        arms_of(each, {}) for each in ({}, INT, NUM | {"maximum": 5}, {"type": "array"})
    )
    (small,) = arms_of(INT | {"maximum": 5}, {})
    assert is_within(array, any_value)
    assert is_within(small, number)
    assert not is_within(integer, number)
    assert not is_within(any_value, integer)
    assert not is_within(array, array)
    assert not is_within(integer, array)
    assert not is_within(number, small)


def test_a_boolean_of_an_enumeration_is_a_boolean() -> None:
    assert differences({"enum": [True]}, {"type": "boolean"}) == [("no longer limited to an enumeration", False, True)]
