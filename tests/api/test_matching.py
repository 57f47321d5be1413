"""Which alternative became which."""

from typing import Any

from restwell._api._arms import Arm, arms_of
from restwell._api._matching import match


def arms(*schemas: dict[str, Any]) -> list[Arm]:
    return arms_of({"anyOf": list(schemas)}, {})


def tagged(tag: str) -> Arm:
    return Arm("object", {}, tag=tag)


def test_equal_types_match_in_any_order() -> None:
    pairs, removed, added = match(
        arms({"type": "string"}, {"type": "null"}), arms({"type": "null"}, {"type": "string"})
    )
    assert {(old.kind, new.kind) for old, new in pairs} == {("string", "string"), ("null", "null")}
    assert (removed, added) == ([], [])


def test_a_renamed_component_is_the_same_alternative_and_another_tag_is_not() -> None:
    named = [Arm("object", {}, name=name) for name in ("One", "Two")]
    renamed = [Arm("object", {}, name=name) for name in ("Two", "Three")]
    pairs, *rest = match(named, renamed)
    assert {(old.name, new.name) for old, new in pairs} == {("Two", "Two"), ("One", "Three")}
    assert rest == [[], []]
    pairs, removed, added = match([tagged("a"), tagged("b")], [tagged("c"), tagged("b")])
    assert [(old.tag, new.tag) for old, new in pairs] == [("b", "b")]
    assert [(arm.tag) for arm in (*removed, *added)] == ["a", "c"]


def test_an_integer_may_become_a_number() -> None:
    ((old, new),), removed, added = match(arms({"type": "integer"}), arms({"type": "number"}))
    assert (old.kind, new.kind, removed, added) == ("integer", "number", [], [])


def test_an_alternative_that_another_one_contains_is_neither_removed_nor_added() -> None:
    one: list[dict[str, Any]] = [{"type": "string"}]
    both = [{"type": "string", "enum": ["a"]}, *one]
    assert match(arms(*both), arms(*one))[1] == []
    assert match(arms(*one), arms(*both))[2] == []
    assert [arm.kind for arm in match(arms({}), arms(*one))[1]] == ["any"]
