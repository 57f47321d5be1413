"""The router: which route a path has, and that no path is expensive."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from restwell.edge._route import Route
from restwell.edge._router import MAX_RECENT, MAX_RECENT_CHARS, Router

ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
TYPES = {"id": UUID, "order_id": UUID, "line_id": UUID, "number": int, "name": str, "part": str}


def route(method: str, path: str, **parameters: type) -> Route:
    return Route(method=method, path=path, path_types=parameters or TYPES)


ROUTER = Router(
    route(*declared.split())
    for declared in (
        "GET /",
        "GET /orders",
        "POST /orders",
        "GET /orders/latest",
        "GET /orders/{id}",
        "PUT /orders/{order_id}",
        "GET /orders/{number}",
        "DELETE /orders/{name}",
        "GET /orders/{id}/lines/{line_id}",
        "GET /orders/latest/{name}",
        "GET /orders/{name}/history",
        "GET /orders/{name}/history/all",
        "POST /upload/{part}",
    )
)


@pytest.mark.parametrize(
    ("method", "path", "template", "parameters"),
    [
        ("GET", "/", "/", {}),
        ("POST", "/orders", "/orders", {}),
        ("GET", "/orders/latest", "/orders/latest", {}),
        ("GET", f"/orders/{ID}", "/orders/{id}", {"id": UUID(ID)}),
        ("PUT", f"/orders/{ID}", "/orders/{order_id}", {"order_id": UUID(ID)}),
        ("GET", "/orders/-7", "/orders/{number}", {"number": -7}),
        ("DELETE", "/orders/any", "/orders/{name}", {"name": "any"}),
        ("GET", f"/orders/{ID}/lines/{ID}", "/orders/{id}/lines/{line_id}", {"id": UUID(ID), "line_id": UUID(ID)}),
        ("GET", "/orders/latest/a", "/orders/latest/{name}", {"name": "a"}),
        ("GET", "/orders/latest/history", "/orders/latest/{name}", {"name": "history"}),
        ("GET", f"/orders/{ID}/history", "/orders/{name}/history", {"name": ID}),
        ("GET", "/orders/12/history", "/orders/{name}/history", {"name": "12"}),
        ("GET", "/orders/latest/history/all", "/orders/{name}/history/all", {"name": "latest"}),
    ],
)
def test_a_path_has_the_most_specific_route(method: str, path: str, template: str, parameters: dict[str, Any]) -> None:
    """Breaks when the order of declaration decides, and when the search does not return from a dead end."""
    for _ in range(2):  # the second time, it is remembered
        found = ROUTER.find(method, path)
        assert found is not None
        assert (found.route.method, found.route.path, found.parameters) == (method, template, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/orders"),
        ("DELETE", "/orders/latest"),
        ("HEAD", "/orders"),
        ("OPTIONS", "/orders"),
        ("GET", f"/orders/{ID.upper()}"),
        ("DELETE", f"/orders/{ID}"),
        ("GET", "/orders/007"),
        ("GET", "/orders/"),
        ("GET", "/orders/latest/"),
        ("GET", "/upload"),
        ("POST", "/upload/a/b"),
        ("GET", "/orders/{id}"),
        ("GET", "orders"),
        ("GET", ""),
        ("GET", "//"),
    ],
)
def test_another_path_or_method_has_no_route(method: str, path: str) -> None:
    assert ROUTER.find(method, path) is None


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/orders", "GET, HEAD, OPTIONS, POST"),
        ("/upload/a", "OPTIONS, POST"),
        (f"/orders/{ID}", "GET, HEAD, OPTIONS, PUT"),
        ("/orders/any", "DELETE, OPTIONS"),
        ("/other", None),
        ("/upload", None),
    ],
)
def test_the_methods_of_a_path_are_listed_in_order(path: str, allowed: str | None) -> None:
    """Breaks without HEAD beside GET, and without OPTIONS."""
    assert ROUTER.allowed(path) == allowed


@pytest.mark.parametrize(
    ("paths", "error"),
    [
        (["/a", "/a"], r"two routes have the method and path GET /a \(/a\); remove one"),
        (["/a/{id}", "/a/{order_id}"], r"two routes have the method and path GET /a/{order_id} \(/a/{id}\)"),
        (["/a/{unknown}"], "GET /a/{unknown} needs the type of the parameter unknown: UUID, int or str"),
        (["a"], "GET a is not a path such as /orders/{order_id}"),
        (["/a/{id}b"], "each parameter is a whole segment"),
        (["/a/b{id}"], "each parameter is a whole segment"),
        (["/a/{id:uuid}"], "each parameter is a whole segment"),
        (["/{id}/{id}"], "no two have the same name"),
    ],
)
def test_an_invalid_route_is_refused_at_the_start(paths: list[str], error: str) -> None:
    """Breaks when the second route silently replaces the first."""
    with pytest.raises(TypeError, match=error):
        Router(route("GET", path) for path in paths)


def test_one_path_may_have_parameters_of_several_types() -> None:
    router = Router([route("GET", "/{name}"), route("GET", "/{number}"), route("GET", "/{id}")])
    templates = [router.find("GET", path) for path in ("/x", "/1", f"/{ID}")]
    assert [found.route.path for found in templates if found] == ["/{name}", "/{number}", "/{id}"]


def test_the_number_of_remembered_paths_is_bounded() -> None:
    """Breaks when each path stays in memory: one client could fill it."""
    router = Router([route("GET", "/{name}/{number}")])
    for number in range(MAX_RECENT + 10):
        assert router.find("GET", f"/a/{number}")
    long_path = f"/{'x' * 100}/{'7' * 18}"
    assert len(router._recent["GET"]) == 10
    assert len(long_path) < MAX_RECENT_CHARS


HOSTILE = 8_000


def hostile_paths() -> Iterator[str]:
    yield "/a" * (HOSTILE // 2)
    yield "/" * HOSTILE
    yield "/orders" * (HOSTILE // 7)
    yield "/orders/" + "9" * HOSTILE
    yield "/orders/" + "9" * HOSTILE + "a"
    yield "/orders/" + "a" * HOSTILE
    yield "/orders/" + "-" * HOSTILE
    yield "/orders/" + ID * (HOSTILE // 36)
    yield f"/orders/{ID}" * (HOSTILE // 44)
    yield "/1" * (HOSTILE // 2)


def test_a_path_costs_time_in_proportion_to_its_length() -> None:
    """Breaks when the pattern of a value backtracks, as with ``[0-9]*[0-9]*``."""
    for path in hostile_paths():
        began = time.thread_time()
        assert ROUTER.find("GET", path) is None
        assert ROUTER.allowed(path) is None
        assert time.thread_time() - began < 0.02, path[:30]
