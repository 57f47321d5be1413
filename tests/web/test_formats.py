"""Formatted strings are checked in every shape of a body, and every fault is reported at once."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from msgspec import Raw, Struct

from restwell.errors import Invalid, MalformedRequest
from restwell.web._decoding import decode_body
from restwell.web._validation import MAX_ERRORS

ID = "018f0000-abcd-7000-8000-000000000001"

T = TypeVar("T")


class Named(NamedTuple):
    id: UUID
    number: int


class Mapped(TypedDict):
    id: UUID


@dataclass
class Plain:
    id: UUID


class Tree(Struct):
    id: UUID
    children: list["Tree"] = []


class Of(Struct, Generic[T]):
    inner: T


class First(Struct, tag=1):
    id: UUID


class Second(Struct, tag=2):
    id: str


class Place(Struct, array_like=True, tag="place"):
    id: UUID


class Spot(Struct, array_like=True):
    text: str
    id: UUID


SHAPES: list[tuple[Any, str, str]] = [
    (Named, '["%s", 1]', "$[0]"),
    (tuple[int, UUID], '[1, "%s"]', "$[1]"),
    (tuple[UUID, ...], f'["{ID}", "%s"]', "$[1]"),
    (set[UUID], '["%s"]', "$[0]"),
    (frozenset[UUID], '["%s"]', "$[0]"),
    (Mapped, '{"id": "%s"}', "$.id"),
    (Plain, '{"id": "%s"}', "$.id"),
    (Tree, f'{{"id": "{ID}", "children": [{{"id": "{ID}"}}, {{"id": "%s"}}]}}', "$.children[1].id"),
    (Of[UUID], '{"inner": "%s"}', "$.inner"),
    (Of[Tree | None], '{"inner": {"id": "%s"}}', "$.inner.id"),
    (First | Second, '{"type": 1, "id": "%s"}', "$.id"),
    (Place, '["place", "%s"]', "$[1]"),
    (Spot, '["a", "%s"]', "$[1]"),
    (dict[UUID, int], '{"%s": 1}', "$.{text}"),
    (dict[str, dict[str, UUID]], '{"a": {"b": "%s"}}', "$.a.b"),
    (dict[str, UUID] | list[UUID] | None, '["%s"]', "$[0]"),
    (int | UUID, '"%s"', "$"),
]


@pytest.mark.parametrize(("kind", "body", "path"), SHAPES, ids=[str(shape[0]) for shape in SHAPES])
def test_a_text_is_checked_in_every_shape_of_body(kind: Any, body: str, path: str) -> None:
    decode_body((body % ID).encode(), kind)
    with pytest.raises(Invalid) as refused:
        decode_body((body % ID.upper()).encode(), kind)
    [fault] = refused.value.errors
    assert fault.path == path.format(text=ID.upper())
    assert fault.message.startswith("Expected a UUID in lower case")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (First | Second, f'{{"type": 2, "id": "{ID.upper()}"}}'),
        (int | UUID, "1"),
        (int | Decimal | None, "null"),
        (Tree | None, "null"),
        (dict[str, Any], f'{{"id": "{ID.upper()}"}}'),
        (Raw, f'"{ID.upper()}"'),
    ],
)
def test_a_text_of_an_unchecked_type_is_accepted(kind: Any, body: str) -> None:
    assert decode_body(body.encode(), kind) == msgspec.json.decode(body, type=kind)


def test_every_fault_of_a_tree_is_named_at_once() -> None:
    """Breaks when format errors are reported only after all other errors are fixed."""
    body = f'{{"id": "{ID.upper()}", "children": [{{"id": 5}}, {{"id": "x"}}, {{}}]}}'
    with pytest.raises(Invalid) as refused:
        decode_body(body.encode(), Tree)
    messages = {fault.path: fault.message.split()[0] for fault in refused.value.errors}
    assert messages == {
        "$.id": "Expected",
        "$.children[0].id": "Expected",
        "$.children[1].id": "Expected",
        "$.children[2].id": "required",
    }
    assert len(refused.value.errors) == len(messages)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (list[UUID], json.dumps([ID.upper()] * 10_000)),
        (dict[str, UUID], json.dumps({"n" * 1_000 + str(number): "x" for number in range(100)})),
        (dict[UUID, UUID], json.dumps({f"{number:032}": "x" for number in range(100)})),
    ],
)
def test_the_report_on_many_invalid_texts_is_bounded(kind: Any, body: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_body(body.encode(), kind)
    assert 0 < len(refused.value.errors) <= MAX_ERRORS
    assert max(len(fault.path) for fault in refused.value.errors) < 500


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    """Breaks when the format check runs outside of the handling of RecursionError: a 500."""
    body = f'{{"id": "{ID}", "children": [' * 600 + "]}" * 600
    with pytest.raises(MalformedRequest, match="nested too deeply"):
        decode_body(body.encode(), Tree)
