"""How routes are declared: decorators, controllers, features and versions. Faults are named at import."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from restwell.errors import PROBLEMS
from restwell.web import Controller, Feature, Version, delete, get, patch, post, put, signed_in
from restwell.web._declarations import declaration_of

GET: Any = get
FEATURE: Any = Feature
VERSION: Any = Version


async def nothing() -> None: ...


async def not_yet() -> None: ...


def test_a_decorator_declares_the_route_and_returns_the_function() -> None:
    for method in (get, post, put, patch, delete):

        async def handler() -> None: ...

        assert method("/things", tags=["Things"])(handler) is handler
        declaration = declaration_of(handler)
        assert declaration is not None
        assert (declaration.method, declaration.path, declaration.tags) == (method._name, "/things", ["Things"])
    assert declaration_of(nothing) is None


def blocking() -> None: ...


async def several() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: GET()(blocking), "blocking is not async: use async def, and asyncio.to_thread for blocking calls"),
        (lambda: GET()(several), "several is a generator: return a Stream, whose open= is the generator"),
        (lambda: GET()(lambda: asyncio.sleep(0)), "is not async"),
        (lambda: GET()(5), "5 is not async"),
        (lambda: GET(nothing), r"nothing has a decorator without parentheses: write @get\(\)"),
        (lambda: GET("/{thing_id:uuid}"), "GET /{thing_id:uuid}: path must be"),
        (lambda: GET(guards=signed_in), "GET : guards must be a list of async functions .*, not <function signed_in"),
        (lambda: GET("/x", query_budget="notes.list"), "GET /x: query_budget must be numbers by the name of a query"),
        (lambda: GET(ratelimit=None), "unexpected keyword argument 'ratelimit'"),
        (lambda: GET("/a")(post("/b")(not_yet)), "not_yet has two routes: declare a function for each"),
        (lambda: VERSION("v1", []), "Version: prefix must be a path"),
        (lambda: VERSION("/v1", Controller), "Version: parts must be a list"),
        (lambda: FEATURE(controllers=Controller), "Feature: controllers must be a list"),
        (lambda: FEATURE(jobs=[nothing]), "Feature: jobs must be a list of jobs"),
    ],
)
def test_a_wrong_declaration_is_refused_at_import(declare: Callable[[], Any], message: str) -> None:
    """Breaks without the checks: a blocking handler would block every request, other faults would be found by one."""
    with pytest.raises(TypeError, match=message):
        declare()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"pth": "/things"}, r"Things\.pth is not an attribute of a Controller: did you mean path\?"),
        ({"guard": [signed_in]}, "did you mean guards?"),
        ({"limit": 3}, r"Things\.limit is not an attribute of a Controller: handlers take services as parameters"),
        ({"__annotations__": {"mailer": object}}, r"Things\.mailer is not .*: handlers take services as parameters"),
        ({"path": "things"}, "Things: path must be a path"),
        ({"guards": signed_in}, "Things: guards must be a list of async functions"),
        ({"tags": "Things"}, "Things: tags must be a list of texts"),
        ({"error_format": dict}, "Things: error_format must be an ErrorFormat"),
    ],
)
def test_a_wrong_attribute_of_a_controller_is_refused_at_import(attributes: dict[str, Any], message: str) -> None:
    """Breaks without the check: with `guard` instead of `guards`, the routes would be open."""
    with pytest.raises(TypeError, match=message):
        type("Things", (Controller,), attributes)


def test_a_controller_may_have_helpers_and_private_attributes() -> None:
    class Things(Controller):
        path = "/things"
        tags = ("Things",)
        guards = (signed_in,)
        error_format = PROBLEMS
        _limit = 3

        def helper(self) -> int:
            return self._limit

    assert Things().helper() == 3


@pytest.mark.parametrize("name", ["page", "requests", "jobs", "types", "cache"])
def test_a_handler_may_have_the_name_of_an_option_of_something_else(name: str) -> None:
    """Seen to fail: the handler was checked as if it were the option."""

    async def handler(_: object) -> None: ...

    assert isinstance(type("Things", (Controller,), {name: get()(handler)}), type)
