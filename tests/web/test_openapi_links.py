"""The links of the OpenAPI document."""

from typing import Any
from uuid import UUID

from msgspec import Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from restwell import Restwell
from restwell.settings import Settings
from restwell.web import Controller, delete, get, post


class Thing(Struct, frozen=True):
    id: UUID


class Nameless(Struct, frozen=True):
    text: str


class Things(Controller):
    path = "/things"

    @post()
    async def add_thing(self) -> Thing:
        """Has an id."""
        raise NotImplementedError

    @get("/{thing_id}")
    async def get_thing(self, thing_id: UUID) -> Thing:
        """Is linked."""
        raise NotImplementedError

    @post("/{thing_id}/parts")
    async def add_part(self, thing_id: UUID) -> Thing:
        """Is linked, and has an id."""
        raise NotImplementedError

    @delete("/{thing_id}/parts/{part_id}")
    async def delete_part(self, thing_id: UUID, part_id: UUID) -> None:
        """Is linked to the part only."""

    @get("/of/{name}")
    async def of_name(self, name: str) -> None:
        """Is below another path."""


class Others(Controller):
    path = "/others"

    @post()
    async def add_other(self) -> Nameless:
        """Has no id."""
        raise NotImplementedError

    @get("/{other_id}")
    async def get_other(self, other_id: UUID) -> None:
        """Is not linked."""


def test_the_id_of_a_created_resource_is_that_of_the_operations_below_its_path() -> None:
    """Breaks if a link is guessed from the name of a parameter."""
    document: Any = Restwell(Settings(), name="links").app([Things, Others]).openapi
    OpenAPIV31SpecValidator(document).validate()

    def links(path: str) -> dict[str, dict[str, str]]:
        (success, *_) = document["paths"][path]["post"]["responses"].values()
        return {name: link["parameters"] for name, link in success.get("links", {}).items()}

    created = {"thing_id": "$response.body#/id"}
    assert links("/things") == {"get_thing": created, "add_part": created}
    part = {"thing_id": "$request.path.thing_id", "part_id": "$response.body#/id"}
    assert links("/things/{thing_id}/parts") == {"delete_part": part}
    assert links("/others") == {}
