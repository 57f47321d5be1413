"""A schema that cannot be built is a TypeError at the start, with the field and what to do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct
from pydantic import BaseModel

from graphql_app import Book, Books, authenticate, create_app
from restwell import Restwell
from restwell.auth import Actor
from restwell.graphql import Field, GraphQL, relation
from restwell.pages import Page, PageFilter
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, get, post


class Model(BaseModel):
    name: str


class Lonely(Struct):
    name: str


@get("/either")
async def either() -> Book | Lonely:
    """Return one of two."""
    return Lonely("a")


@post("/model")
async def take_model(data: Model) -> str:
    """Take a model."""
    return data.name


async def undeclared() -> str:
    return ""


@relation
async def of_nothing(name: str) -> str:
    return name


@relation
async def of_lonely(lonely: Lonely) -> str:
    return lonely.name


@relation
async def with_actor(book: Book, actor: Actor) -> str:
    return f"{book} {actor}"


@relation
async def with_service(book: Book, model: Model) -> str:
    return f"{book} {model}"


class Others(Controller):
    path = "/others"

    @get()
    async def get_book(self) -> str:
        """Have the name of another handler."""
        return ""


@get("/watched")
async def watch_books() -> AsyncIterator[Book]:
    """Watch the books."""
    raise NotImplementedError


class Renamed(Books):
    path = "/renamed"


TWICE: dict[str, list[type[Controller]]] = {"get_book": [Others], "guess": [Renamed]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": {}}, "needs a field in queries="),
        ({"queries": {"a": either}}, "the field a of Query: returns .* choose one with Field"),
        ({"queries": {"a": take_model}}, "the field a of Query: takes a Pydantic model"),
        ({"queries": {"a": undeclared}}, "undeclared is a handler of no route"),
        ({"queries": {"a": "nothing"}}, "nothing is a handler of no route"),
        ({"queries": {"a": "get_book"}}, "get_book is a handler of Books and Others"),
        ({"queries": {"a": Renamed.guess}}, "Books.guess is a handler of Books and Renamed"),
        ({"queries": {"a": Field(handler=Books.list_books, omit=["nope"])}}, "omits nope, which is no query parameter"),
        ({"subscriptions": {"a": Books.get_book}}, "the field a of Subscription: returns no AsyncIterator"),
        ({"queries": {"a": watch_books}}, "the field a of Query: returns an AsyncIterator"),
        ({"queries": {"__a": Books.get_broken}}, "not valid: Name .*__a.* must not begin"),
        ({"relations": [of_nothing]}, "annotate its first parameter with the Struct"),
        ({"relations": [of_lonely]}, "no field of GraphQL has a Lonely"),
        ({"relations": [with_actor]}, "with_actor: takes actor: add guards"),
        ({"relations": [with_service]}, "with_service: takes model: no service is a"),
    ],
)
def test_a_wrong_declaration_names_the_field_and_the_fix(
    tiny_settings: Settings, changes: dict[str, Any], message: str
) -> None:
    """Breaks when the guards of one controller apply to a handler that several serve."""
    more = [each for name, parts in TWICE.items() if f"{name} is a handler of" in message for each in parts]
    with pytest.raises(TypeError, match=message):
        create_app(tiny_settings, *more, **({"relations": []} | changes))


async def test_a_relation_may_be_a_page(tiny_settings: Settings) -> None:
    @relation
    async def similar(book: Book, filters: PageFilter) -> Page[Book]:
        """Similar books."""
        return Page([Book(book.id + each, "similar") for each in range(filters.limit)], None)

    @get("/one")
    async def one() -> Book:
        """Return a book."""
        return Book(7, "seven")

    app = Restwell(tiny_settings).app(
        [one, GraphQL(queries={"one": one}, relations=[similar])], authenticate=authenticate
    )
    async with running(app) as client:
        text = "{ one { similar(first: 2) { nodes { id } pageInfo { hasNextPage } } } }"
        answer = (await client.post("/graphql", json={"query": text})).json()
        assert answer["data"]["one"]["similar"] == {
            "nodes": [{"id": 7}, {"id": 8}],
            "pageInfo": {"hasNextPage": False},
        }
