"""Messages and types of handlers are compared at start, and converted without loss."""

from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from graphql_app import Book
from grpc_app import pb
from restwell.email_addresses import EmailAddress
from restwell.fields import Instant
from restwell.grpc._messages import compile_reader, compile_writer, struct_fields

WHEN = datetime(2026, 11, 28, 12, 30, 15, 250_000, UTC)
ID = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")


class Shelf(StrEnum):
    TOP = "top"
    BOTTOM = "bottom"


class Kinds(Struct, kw_only=True):
    flag: bool
    raw: bytes
    ratio: float
    id: UUID
    choice: Literal["a", "b"] = "a"
    at: Instant
    shelf: Shelf | None = None
    shelves: list[Shelf] = []
    book: Book | None = None
    books: Annotated[list[Book], Meta(max_length=3)] = []
    count: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    email: EmailAddress | None = None


class Other(StrEnum):
    TOP = "top"
    MIDDLE = "middle"


def test_every_kind_of_field_is_written_and_read() -> None:
    """Fails if a value changes on its way, or if one that was not given becomes one."""
    given = Kinds(
        flag=True,
        raw=b"\x00\xff",
        ratio=0.5,
        id=ID,
        choice="b",
        at=WHEN,
        shelf=Shelf.BOTTOM,
        shelves=[Shelf.TOP, Shelf.BOTTOM],
        book=Book(1, "a"),
        books=[Book(2, "b"), Book(3, "c")],
        count=0,
        email=EmailAddress.parse("ada@example.com"),
    )
    message: Any = compile_writer(pb.Kinds.DESCRIPTOR, Kinds)(given)
    assert (message.id, message.at.ToDatetime(UTC), message.email) == (str(ID), WHEN, "ada@example.com")
    assert (message.shelf, list(message.shelves)) == (2, [1, 2])
    read = compile_reader(pb.Kinds.DESCRIPTOR, struct_fields(Kinds))
    assert read(message) == {
        **structs.asdict(given),
        "id": str(ID),
        "book": {"id": 1, "text": "a"},
        "books": [{"id": 2, "text": "b"}, {"id": 3, "text": "c"}],
        "email": "ada@example.com",
    }
    assert read(pb.Kinds()) == {"flag": False, "raw": b"", "ratio": 0.0, "id": ""}, "only what is required has a zero"
    assert read(pb.Kinds(count=0))["count"] == 0
    assert read(pb.Kinds(shelf=7))["shelf"] == "7"
    empty: Any = compile_writer(pb.Kinds.DESCRIPTOR, Kinds)(Kinds(flag=False, raw=b"", ratio=0, id=ID, at=WHEN))
    assert [empty.HasField(name) for name in ("book", "count")] == [False, False]


def test_a_response_with_one_field_holds_the_result() -> None:
    write = compile_writer(pb.GetBookResponse.DESCRIPTOR, Book)
    assert write(Book(4, "d")) == pb.GetBookResponse(book=pb.Book(id=4, text="d"))
    assert compile_writer(pb.GuessResponse.DESCRIPTOR, bool)(True) == pb.GuessResponse(right=True)  # noqa: FBT003


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"flag": int}, "Kinds.flag has another type"),
        ({"shelves": Shelf}, "Kinds.shelves must not be repeated"),
        ({"shelf": list[Shelf]}, "Kinds.shelf must be repeated"),
        ({"shelf": Other}, "Shelf and Other differ: BOTTOM, MIDDLE"),
        ({"id": int | str}, "cannot be one of several types"),
        ({"at": str}, "Kinds.at has another type"),
        ({"book": dict[str, int]}, "Kinds.book has another type"),
        ({"new": int}, "lacks new"),
        ({"flag": None}, "has, and the handler has not, flag"),
    ],
)
def test_a_difference_is_an_error_at_start(changed: dict[str, Any], words: str) -> None:
    """Fails if a field that only one side has, or that has another type, is found by a client."""
    declared: dict[str, Any] = {"flag": bool, "raw": bytes, "ratio": float, "id": UUID, "choice": str, "at": Instant}
    declared |= {"shelf": Shelf, "shelves": list[Shelf], "book": Book, "books": list[Book], "count": int, "email": str}
    fields = {name: kind for name, kind in {**declared, **changed}.items() if kind is not None}
    kind = type("Changed", (Struct,), {"__annotations__": fields})
    for compiled in (
        lambda: compile_writer(pb.Kinds.DESCRIPTOR, kind),
        lambda: compile_reader(pb.Kinds.DESCRIPTOR, struct_fields(kind)),
    ):
        with pytest.raises(TypeError, match=words):
            compiled()


def test_only_the_fields_of_a_struct_are_those_of_a_message() -> None:
    with pytest.raises(TypeError, match="must have one field"):
        compile_writer(pb.Book.DESCRIPTOR, list[int])
    with pytest.raises(TypeError, match="no Struct"):
        struct_fields(list[int])


def test_an_enum_of_numbers_is_compared_by_name() -> None:
    class Number(Enum):
        TOP = 5
        BOTTOM = 6

    fields = struct_fields(type("Numbered", (Struct,), {"__annotations__": {"shelf": Number}}))
    with pytest.raises(TypeError, match="has, and the handler has not"):
        compile_reader(pb.Kinds.DESCRIPTOR, fields)
