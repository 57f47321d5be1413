"""JSON Merge Patch (RFC 7396): its type, and its effect."""

from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, ValidationError, field, json

from cases import each
from restwell.accounts._merge_patch import merge, merge_patch_type


@each(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
async def test_a_patch_is_applied_as_in_the_examples_of_the_rfc(target: Any, patch: Any, merged: Any) -> None:
    """RFC 7396, appendix A, without the patches that are no objects."""
    assert merge(target, patch) == merged


class Place(Struct, frozen=True):
    city: str
    country: Annotated[str, Meta(min_length=2)] = "de"


class Tagged(Struct, frozen=True, tag="tagged"):
    number: int


class Person(Struct, frozen=True, rename="camel"):
    home_place: Place
    age: Annotated[int, Meta(ge=0)] = field(default=0)
    work: Annotated[Place | None, Meta(description="Where.")] = None
    places: list[Place] = []
    by_name: dict[str, Place] = {}
    other: Tagged | None = None


@each(
    ("patch", "changes"),
    [
        (b"{}", {}),
        (b'{"age": null}', {"age": None}),
        (b'{"homePlace": {"country": "at"}}', {"homePlace": {"country": "at"}}),
        (b'{"work": {"city": null}}', {"work": {"city": None}}),
        (b'{"byName": {"a": null, "b": {"city": "Bonn"}}}', {"byName": {"a": None, "b": {"city": "Bonn"}}}),
        (b'{"other": {"type": "tagged", "number": 1}}', {"other": {"type": "tagged", "number": 1}}),
    ],
)
async def test_a_patch_may_omit_any_field_at_any_depth(patch: bytes, changes: Any) -> None:
    decoded = json.decode(patch, type=merge_patch_type(Person))
    assert json.decode(json.encode(decoded)) == changes


@each(
    "patch",
    [
        b'{"age": -1}',
        b'{"name": "Ada"}',
        b'{"homePlace": {"street": "A"}}',
        b'{"work": {"country": "a"}}',
        b'{"places": [{"country": "de"}]}',
    ],
)
async def test_a_patch_with_an_unknown_field_or_an_invalid_value_is_refused(patch: bytes) -> None:
    with pytest.raises(ValidationError):
        json.decode(patch, type=merge_patch_type(Person))
