"""The types of GraphQL for those of Python, in results and in arguments."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from graphql_app import authenticate
from restwell import Restwell
from restwell.email_addresses import EmailAddress
from restwell.fields import Instant
from restwell.graphql import GraphQL, GraphQLServer
from restwell.graphql._types import Types, camel
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import get, post
from tiny.app import SOMEONE


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Size(Enum):
    SMALL = "s"


class Part(Struct):
    """A part."""

    name: str


class Everything(Struct, kw_only=True):
    some_id: UUID
    at: Instant
    day: date
    price: Decimal
    count: int
    small: Annotated[int, Meta(ge=0, le=9, description="A digit.")]
    ratio: float
    on: bool
    colour: Colour
    size: Size
    mode: Literal["a", "b"]
    email: EmailAddress
    parts: Annotated[list[Part], Meta(max_length=3)]
    extra: dict[str, int]
    note: str | None = None
    unset: str | UnsetType = UNSET


class Wanted(Struct, kw_only=True):
    some_id: UUID
    at: Instant
    colour: Colour
    sizes: list[Size]
    part: Part
    small: Annotated[int, Meta(le=9)] = 1
    note: str | None = None


VALUE = Everything(
    some_id=SOMEONE,
    at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    day=date(2026, 1, 31),
    price=Decimal("2.50"),
    count=2**53,
    small=9,
    ratio=0.5,
    on=True,
    colour=Colour.DARK_BLUE,
    size=Size.SMALL,
    mode="a",
    email=EmailAddress.parse("a@example.com"),
    parts=[Part("p")],
    extra={"n": 1},
)


@get("/everything")
async def everything() -> Everything:
    """Get everything."""
    return VALUE


@post("/echo")
async def echo(data: Wanted) -> dict[str, Any]:
    """Return what was sent."""
    return {"sent": data}


@get("/ready")
async def is_ready(colour: Colour = Colour.RED) -> Colour:
    """Return the colour."""
    return colour


@post("/nothing")
async def nothing() -> None:
    """Do nothing."""


SCHEMA = GraphQL(queries={"everything": everything, "ready": is_ready}, mutations={"echo": echo, "nothing": nothing})


async def test_each_type_has_one_in_graphql_and_the_json_of_the_route(tiny_settings: Settings) -> None:
    """Fails if an enum, an instant or a large number differs from the response of the route."""
    app = Restwell(tiny_settings).app([everything, echo, is_ready, nothing, SCHEMA], authenticate=authenticate)
    sdl = app.service(GraphQLServer).sdl
    for line in (
        "someId: UUID!",
        "at: DateTime!",
        "day: Date!",
        "price: Decimal!",
        "count: BigInt!",
        '"""A digit."""\n  small: Int!',
        "ratio: Float!",
        "on: Boolean!",
        "colour: Colour!",
        "mode: String!",
        "email: EmailAddress!",
        "parts: [Part!]!",
        "extra: JSON!",
        "note: String\n",
        "unset: String\n",
        '"""A part."""\ntype Part {',
        "enum Colour {\n  RED\n  DARK_BLUE\n}",
        "input PartInput {\n  name: String!\n}",
        "small: Int\n",
        "nothing: Boolean",
    ):
        assert line in sdl
    names = "someId at day price count small ratio on colour size mode email parts { name } extra note unset"
    async with running(app) as client:
        route = (await client.get("/everything")).json()
        found = await client.post("/graphql", json={"query": f"{{ everything {{ {names} }} }}"})
        expected = {camel(name): value for name, value in route.items()} | {"unset": None}
        assert found.json()["data"]["everything"] == expected | {"colour": "DARK_BLUE", "size": "SMALL"}
        assert list(found.json()["data"]["everything"]) == names.replace(" { name }", "").split()
        text = """mutation { echo(input: {someId: "%s", at: "2026-01-31T09:30:00Z", colour: DARK_BLUE, sizes: [SMALL],
            part: {name: "p"}, small: 3}) }"""
        sent = await client.post("/graphql", json={"query": text % SOMEONE})
        assert sent.json()["data"]["echo"]["sent"] == {
            "some_id": str(SOMEONE),
            "at": "2026-01-31T09:30:00Z",
            "colour": "dark-blue",
            "sizes": ["s"],
            "part": {"name": "p"},
            "small": 3,
            "note": None,
        }
        wrong = await client.post("/graphql", json={"query": (text % "x").replace("small: 3", "small: 10")})
        paths = [each["path"] for each in wrong.json()["errors"][0]["extensions"]["errors"]]
        assert paths == ["$.someId", "$.small"]
        assert (await client.post("/graphql", json={"query": "mutation { nothing }"})).json() == {
            "data": {"nothing": True}
        }
        assert (await client.post("/graphql", json={"query": "{ ready(colour: DARK_BLUE) }"})).json() == {
            "data": {"ready": "DARK_BLUE"}
        }


@pytest.mark.parametrize("kind", [bytes, Part | Everything, list[bytes]])
def test_a_type_without_one_in_graphql_is_an_error(kind: Any) -> None:
    with pytest.raises(TypeError, match="has no type in GraphQL"):
        Types(lambda _: {}).output(kind)
