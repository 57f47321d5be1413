"""A wrong declaration of a service is an error at start that names the method and the fix."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from graphql_app import Book, BookFilter, Books, Hidden, Review, ReviewRequest
from grpc_app import Library, Servicer, create_app
from restwell import App, Restwell
from restwell.auth import Actor
from restwell.errors import Unauthorized
from restwell.grpc import Grpc, GrpcServer, rpc
from restwell.ids import new_id
from restwell.pages import Page
from restwell.settings import Settings
from restwell.web import Upload, get, post


async def authenticate(_token: str) -> Actor:
    raise Unauthorized


def build(settings: Settings, **methods: Any) -> App:
    changed = type("Changed", (Library,), methods)
    return Restwell(settings, name="library").app([Books, Grpc(changed)], authenticate=authenticate)


@get("/union/{book_id}")
async def union(book_id: int) -> Book | str:
    return str(book_id)


@get("/pages")
async def pages(filters: BookFilter) -> Page[Book] | Page[str]:
    return Page([Book(filters.limit, "")], None)


@get("/stream")
async def stream(book_id: int) -> AsyncIterator[Book]:
    raise NotImplementedError(book_id)


@post("/{text}")
async def twice(text: str, data: ReviewRequest) -> Review:
    return Review(len(text), data.text)


@get("/hidden")
async def guess(word: str) -> Hidden:
    return Hidden(word, new_id())


@post("/form")
async def form(upload: Upload) -> Book:
    return Book(1, str(upload))


def test_each_method_has_the_guards_and_the_rate_of_its_route(tiny_settings: Settings) -> None:
    app = create_app(tiny_settings)
    found = {each.name: each for each in app.service(GrpcServer).operations}
    for method, handler in (("AddReview", "add_review"), ("GetHidden", "get_hidden"), ("ListBooks", "list_books")):
        route = next(each for each in app.routes if each.name == handler)
        operation = found[f"/library.v1.LibraryService/{method}"]
        assert (operation.guards, operation.rate) == (route.guards, route.rate)


def test_a_method_names_the_one_result_of_a_union(tiny_settings: Settings) -> None:
    app = build(tiny_settings, ListBooks=rpc(pages, returns=Page[Book]))
    assert "/library.v1.LibraryService/ListBooks" in app.service(GrpcServer).methods


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"GetBook": None}, "Changed.GetBook calls no handler: write GetBook = rpc"),
        ({"GetBook": rpc("no_handler")}, "no_handler is a handler of no route"),
        ({"GetBook": rpc(union)}, "GetBook: returns .* choose one with rpc"),
        ({"GetBook": rpc(stream)}, "GetBook: returns no stream, and the handler does"),
        ({"WatchBooks": rpc(Books.get_book)}, "WatchBooks: returns a stream, and the handler does not"),
        ({"GetBook": rpc(Books.list_books)}, "Book lacks items, next_cursor"),
        ({"GetHidden": rpc(guess)}, "GetHiddenRequest lacks word"),
        ({"ListBooks": rpc(Books.list_books, omit=["other"])}, "omits other, which is no query parameter"),
        ({"GetBook": rpc(form)}, "takes a Pydantic model, a form or an upload"),
        ({"ListBooks": rpc(Books.list_books, omit=["min_id"])}, "has, and the handler has not, min_id"),
        ({"AddReview": rpc(twice)}, "has text in its path, query or body at the same time"),
    ],
)
def test_a_wrong_declaration_is_refused(tiny_settings: Settings, methods: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        build(tiny_settings, **methods)


def test_a_class_that_is_no_servicer_is_refused(tiny_settings: Settings) -> None:
    with pytest.raises(TypeError, match="Plain is no servicer"):
        Restwell(tiny_settings, name="library").app([Grpc(type("Plain", (), {}))])
    assert issubclass(Library, Servicer)
