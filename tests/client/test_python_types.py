"""Names and types of an API as Python. ``test_python.py`` checks and decodes whole clients."""

import pytest

from restwell._client._model import (
    AliasSchema,
    Api,
    EnumSchema,
    ListOf,
    Literals,
    MapOf,
    Nullable,
    ObjectSchema,
    Plain,
    Ref,
    TupleOf,
    Type,
    UnionOf,
)
from restwell._client._python_types import Types, class_name, docstring, identifier, literal, unique

TEXT = Plain("string")


def tagged(name: str, tag: str | None) -> ObjectSchema:
    return ObjectSchema(name=name, description="", properties=(), tag_property="kind", tag=tag)


CAT_OR_DOG = UnionOf((Ref("Cat"), Ref("Dog")), "kind")
TYPES = Types(
    Api(
        title="",
        description="",
        operations=(),
        schemas=(
            tagged("Cat", "cat"),
            tagged("Dog", "dog"),
            tagged("Ape", None),
            EnumSchema(name="color", description="", values=("red",)),
            AliasSchema(name="Names", description="", type=ListOf(TEXT)),
            AliasSchema(name="Tree", description="", type=UnionOf((TEXT, ListOf(Ref("Tree"))))),
            AliasSchema(name="Pet", description="", type=ListOf(Nullable(MapOf(TupleOf((CAT_OR_DOG,)))))),
        ),
        errors=(),
        code_property="code",
        refresh=None,
        tokens=None,
        token_url=None,
        scheme="Bearer",
    )
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Plain("string", "date-time"), "datetime.datetime"),
        (Plain("string", "email"), "str"),
        (Plain("number"), "float"),
        (Literals(("a", "b")), "str"),
        (Literals(("a", 1)), "Any"),
        (Literals((None,)), "Any"),
        (Ref("color"), "m.Color"),
        (Ref("Names"), "list[str]"),
        (Ref("Tree"), "str | list[Any]"),
        (MapOf(Plain("any")), "dict[str, Any]"),
        (TupleOf((TEXT, Plain("boolean"))), "tuple[str, bool]"),
        (TupleOf(()), "tuple[()]"),
        (Nullable(Plain("any")), "Any"),
        (Nullable(ListOf(Ref("Cat"))), "list[m.Cat] | None"),
        (UnionOf((Plain("number"), TEXT, TEXT)), "float | str"),
        (UnionOf((Ref("color"), TEXT)), "Any"),
        (UnionOf((Literals(("a",)), Ref("Cat"))), "str | m.Cat"),
        (UnionOf((MapOf(TEXT), Ref("Cat"))), "Any"),
        (CAT_OR_DOG, "m.Cat | m.Dog"),
        (UnionOf((Ref("Cat"), Ref("Ape")), "kind"), "Any"),
        (UnionOf((Ref("Cat"), Ref("Dog"))), "Any"),
    ],
)
def test_a_type_is_one_that_msgspec_can_decode(kind: Type, expected: str) -> None:
    """Breaks when a union has two arms of one kind: the client could not be imported."""
    assert TYPES.expression(kind, "m.") == expected


def test_objects_are_tagged_if_a_union_tells_them_apart() -> None:
    """Breaks when each object with a constant is tagged: its constant would be no field."""
    assert TYPES.tagged == {"Cat", "Dog"}


def test_names_are_those_of_python() -> None:
    assert [class_name(name) for name in ("out_of_stock", "OrderPage", "any", "1st", "a-b")] == [
        "OutOfStock",
        "OrderPage",
        "Any_",
        "x_1st",
        "AB",
    ]
    assert [identifier(name) for name in ("Stripe-Signature", "from", "list", "filter[a]", "userId", "_a")] == [
        "stripe_signature",
        "from_",
        "list_",
        "filter_a",
        "userId",
        "a",
    ]
    assert unique(["a", "b", "a"]) == ["a", "b", "a_2"]
    assert [literal(text) for text in ("a", 'a"', "a'", "é\n")] == ['"a"', "'a\"'", '"a\'"', '"é\\n"']


def test_a_text_stays_within_its_docstring() -> None:
    assert docstring("") == []
    assert docstring('Ends with "quotes"') == ['"""Ends with "quotes" """']
    assert docstring('a """ and \\\n  b ') == ['"""a \\"\\"\\" and \\\\', "b", '"""']
