"""Component schemas: their names, descriptions and examples."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct, convert, defstruct

from restwell.pages import Page
from restwell.web._openapi_schemas import REF, ComponentSchemas


class Typed(Struct, frozen=True):
    at: Annotated[datetime, Meta(tz=True)]
    day: date
    hour: Annotated[time, Meta(tz=True)]
    span: timedelta
    price: Decimal
    key: UUID
    text: str
    count: Annotated[int, Meta(ge=3)]
    mail: Annotated[str, Meta(extra_json_schema={"format": "email"})]
    link: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    names: dict[str, "Inner"]


class Inner(Struct, frozen=True):
    n: int


class Whole(Struct, frozen=True):
    """The first paragraph of a description.

    The second one.
    """

    id: int


class Tree(Struct, frozen=True):
    children: list["Tree"]
    parent: "Tree | None"


class Filter(Struct, frozen=True):
    owner: Whole | None = None


def test_every_format_has_a_valid_example() -> None:
    """Seen to fail: the example of a date was "text"."""
    schemas = ComponentSchemas([Typed])
    content = schemas.content(Typed)
    schema = {**content["schema"], "components": {"schemas": schemas.components}}
    assert Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(content["example"])
    assert convert(content["example"], Typed).span == timedelta(hours=1)


def test_the_example_of_a_type_that_contains_itself_ends() -> None:
    """Seen to fail: it overflowed the stack, and the application did not start."""
    schemas = ComponentSchemas([Tree])
    assert schemas.content(Tree)["example"] == {"children": [], "parent": None}


def test_the_component_of_a_generic_type_is_named_after_its_argument() -> None:
    """Seen to fail: a page of orders was ``Page_Order_``, which a generated client shows as it is.

    Seen to fail: the component of a generic type of a generic type had the path of its module in its name.
    """
    schemas = ComponentSchemas([Page[Whole], Page[Page[Whole]], Whole])
    assert set(schemas.components) == {"Whole", "WholePage", "WholePagePage"}
    assert schemas.ref(Page[Whole]) == {"$ref": f"{REF}WholePage"}
    assert all(
        re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) and of["title"] == name for name, of in schemas.components.items()
    )


@pytest.mark.parametrize("name", ["Whole", "WholePage"])
def test_two_types_of_one_name_are_refused(name: str) -> None:
    """Breaks without the check: one of the two has its Python module path as its name, or replaces the other."""
    duplicate = defstruct(name, [("other", int)], module="other.schemas")
    with pytest.raises(TypeError, match=f"types with the same name in the OpenAPI document: .*{name}.*; rename"):
        schemas = ComponentSchemas([Page[Whole], duplicate])
        schemas.used_by({"/": [schemas.ref(Page[Whole]), schemas.ref(duplicate)]})


def test_the_description_of_a_component_has_no_indentation() -> None:
    """Seen to fail: the second paragraph of a docstring was indented, which Markdown shows as code."""
    description = ComponentSchemas([Whole]).components["Whole"]["description"]
    assert description == "The first paragraph of a description.\n\nThe second one."


def test_only_components_that_a_path_refers_to_are_used() -> None:
    """Breaks when only direct references count. A filter is a list of parameters, and its types are components."""
    schemas = ComponentSchemas([Page[Whole], Typed, Filter])
    assert list(schemas.parameters_of(Filter)["properties"]) == ["owner"]
    assert set(schemas.components) == {"Whole", "WholePage", "Typed", "Inner"}
    assert set(schemas.used_by({"/": schemas.ref(Page[Whole])})) == {"Whole", "WholePage"}


class Card(Struct, frozen=True, tag="card"):
    number: str


class Cash(Struct, frozen=True, tag="cash"):
    amount: int


def test_a_tagged_union_is_one_of_its_types() -> None:
    """Breaks with ``anyOf``: openapi-generator makes one type with the members of all, which is no valid TypeScript."""
    content = ComponentSchemas([Card | Cash]).content(Card | Cash)
    schema = content["schema"]
    assert schema["oneOf"] == [{"$ref": f"{REF}Card"}, {"$ref": f"{REF}Cash"}]
    assert schema["discriminator"]["propertyName"] == "type"
    assert (content["example"]["type"], "anyOf" in schema) == ("card", False)
