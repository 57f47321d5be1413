"""The alternatives of a schema."""

from typing import Any

from restwell._api._arms import arms_of, discriminator_of, literal, resolve
from restwell._api._documents import AnySchema

REF = "#/components/schemas/"
COMPONENTS: dict[str, Any] = {
    "Cat": {"type": "object", "properties": {"kind": {"enum": ["cat"]}}},
    "Dog": {"type": "object", "properties": {"kind": {"$ref": f"{REF}Tag"}}},
    "Tag": {"const": "dog"},
    "Alias": {"$ref": f"{REF}Cat", "deprecated": True},
    "Loop": {"anyOf": [{"$ref": f"{REF}Loop"}, {"type": "null"}]},
    "Self": {"$ref": f"{REF}Self"},
}


def kinds(schema: Any) -> list[str]:
    return [arm.kind for arm in arms_of(schema, COMPONENTS)]


def test_an_alternative_has_one_type() -> None:
    assert kinds({"anyOf": [{"type": "string"}, {"anyOf": [{"type": "null"}, {}]}]}) == ["string", "null", "any"]
    assert kinds({"enum": ["a", None, 1, 1.0, 1.5, True]}) == ["string", "null", "integer", "number", "boolean"]
    assert kinds({"type": "string", "enum": ["a", None, 1]}) == ["string"]
    assert kinds({"type": "number", "enum": [1, 1.5]}) == ["number"]
    accepts_all: AnySchema
    for accepts_all, expected in ((True, ["any"]), (False, [])):
        assert kinds(accepts_all) == expected


def test_a_discriminator_names_its_alternatives_by_the_mapping_or_by_their_constants() -> None:
    alternatives = [{"$ref": f"{REF}Cat"}, {"$ref": f"{REF}Dog"}]
    union = {"anyOf": alternatives, "discriminator": {"propertyName": "kind"}}
    assert [(arm.name, arm.tag) for arm in arms_of(union, COMPONENTS)] == [("Cat", "cat"), ("Dog", "dog")]
    union["discriminator"] = {"propertyName": "kind", "mapping": {"tom": f"{REF}Cat"}}
    assert [str(arm) for arm in arms_of(union, COMPONENTS)] == ["Cat (tom)", "Dog (dog)"]
    assert [discriminator_of(each) for each in (union, {}, True)] == ["kind", "", ""]


def test_a_reference_keeps_its_annotations() -> None:
    schema, name = resolve({"$ref": f"{REF}Alias"}, COMPONENTS)
    assert (schema, name) == (COMPONENTS["Cat"], "Cat")
    (arm,) = arms_of({"$ref": f"{REF}Alias", "default": 1}, COMPONENTS)
    assert (arm.annotations["deprecated"], arm.annotations["default"]) == (True, 1)


def test_a_union_that_contains_itself_ends() -> None:
    """Breaks without the names seen: the recursion does not end."""
    assert kinds({"$ref": f"{REF}Loop"}) == ["null"]
    assert kinds({"$ref": f"{REF}Self"}) == []
    assert resolve({"$ref": f"{REF}Self"}, COMPONENTS)[1] == "Self"


def test_equal_numbers_are_equal_literals_and_true_is_not_one() -> None:
    assert [literal(each) for each in (1, 1.0, True, "1", {"b": 1, "a": 2})] == [
        "1",
        "1",
        "true",
        '"1"',
        '{"a":2,"b":1}',
    ]
