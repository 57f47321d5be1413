"""Deprecated fields and query parameters in the OpenAPI document."""

import json
from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell import Restwell
from restwell._api._changes import Level
from restwell._api._operations import compare_documents
from restwell.fields import deprecated
from restwell.settings import Settings
from restwell.web import Controller, Feature, Version, post

OLD: Final = deprecated(since=date(2026, 12, 1), sunset=date(2027, 12, 1), instead="price")
OLD_TEXT: Final = "Deprecated since 2026-12-01. May be removed from 2027-12-01 on. Use `price`."


class Whole(Struct, frozen=True):
    text: str


class Priced(Struct, frozen=True):
    cents: Annotated[int, Meta(description="In minor units."), OLD]
    price: int
    optional: Annotated[int, OLD] | None = None
    whole: Annotated[Whole, OLD] | UnsetType = UNSET


class PricedController(Controller):
    path = "/priced"

    @post()
    async def add(
        self, data: Priced, max_cents: Annotated[int, OLD] | None = None, max_price: int | None = None
    ) -> Priced:
        """Add."""
        raise NotImplementedError


def priced_document() -> dict[str, Any]:
    app = Restwell(Settings(), name="things").app([Version("/v1", [Feature(controllers=[PricedController])])])
    return app.openapi


def test_a_field_and_a_query_parameter_may_be_deprecated() -> None:
    """Breaks when the sentence replaces the description, and when null hides the mark."""
    document = priced_document()
    properties = document["components"]["schemas"]["Priced"]["properties"]
    assert {name: each.get("deprecated", False) for name, each in properties.items()} == {
        "cents": True,
        "price": False,
        "optional": True,
        "whole": True,
    }
    assert properties["cents"]["description"] == f"In minor units. {OLD_TEXT}"
    assert properties["whole"]["description"] == OLD_TEXT
    assert [name for name, each in properties.items() if each.get("x-sunset") == "2027-12-01"] == [
        "cents",
        "optional",
        "whole",
    ]
    assert "x-deprecation" not in json.dumps(document)
    parameters = {each["name"]: each for each in document["paths"]["/v1/priced"]["post"]["parameters"]}
    old, new = parameters["max_cents"], parameters["max_price"]
    assert old == {**old, "deprecated": True, "x-sunset": "2027-12-01", "description": OLD_TEXT}
    assert not {"deprecated", "x-sunset"} & old["schema"].keys()
    assert_the_removal_is_accepted(document)
    assert ("deprecated" in new, new["description"]) == (False, "")


def assert_the_removal_is_accepted(document: dict[str, Any]) -> None:
    """The comparison of documents knows the dates: what is past them may be removed."""
    new = deepcopy(document)
    operation = new["paths"]["/v1/priced"]["post"]
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "max_cents"]
    schema = new["components"]["schemas"]["Priced"]
    del schema["properties"]["cents"]
    schema["required"].remove("cents")
    for moment, expected in ((datetime(2027, 11, 30, tzinfo=UTC), True), (datetime(2027, 12, 1, tzinfo=UTC), False)):
        changes = compare_documents(document, new, moment)
        assert any(each.level is Level.BREAKING for each in changes) is expected, changes
