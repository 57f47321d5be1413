"""The hook that finds the route of a request."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from edge_client import HOOKS, request
from restwell.edge._context import Receive, Scope, Send, request_context
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.edge._routing import Routing

ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
ROUTES = [
    Route(method="GET", path="/notes"),
    Route(method="POST", path="/notes"),
    Route(method="DELETE", path="/notes/{note_id}", path_types={"note_id": UUID}),
]


async def describe(scope: Scope, _receive: Receive, send: Send) -> None:
    """Responds with what the edge has found."""
    context = request_context(scope)
    route = context.route
    found = [route and f"{route.method} {route.path}", context.path_parameters, scope.get("path_template")]
    headers = [(b"x-method", scope["method"].encode()), (b"x-found", msgspec.json.encode(found))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/notes", ["GET /notes", {}, "/notes"]),
        ("POST", "/notes", ["POST /notes", {}, "/notes"]),
        ("DELETE", f"/notes/{ID}", ["DELETE /notes/{note_id}", {"note_id": ID}, "/notes/{note_id}"]),
        ("PATCH", "/notes", [None, {}, None]),
        ("GET", f"/notes/{ID}", [None, {}, None]),
        ("GET", "/other", [None, {}, None]),
        ("OPTIONS", "/other", [None, {}, None]),
    ],
)
async def test_the_application_gets_the_route_and_its_parameters(method: str, path: str, found: list[Any]) -> None:
    """Breaks when a request without a route is refused: the application may be a framework with its own routes."""
    response = await request(describe, method, path, [Routing(Router(ROUTES))])
    assert (response.status_code, json.loads(response.headers["x-found"])) == (200, found)


async def test_head_has_the_route_of_get() -> None:
    headers = (await request(describe, "HEAD", "/notes", [Routing(Router(ROUTES))])).headers
    assert (headers["x-method"], json.loads(headers["x-found"])) == ("GET", ["GET /notes", {}, "/notes"])


@pytest.mark.parametrize(
    ("path", "allowed"), [("/notes", "GET, HEAD, OPTIONS, POST"), (f"/notes/{ID}", "DELETE, OPTIONS")]
)
async def test_options_of_a_path_lists_its_methods(path: str, allowed: str) -> None:
    """Breaks when the application is asked: its guards would refuse the request."""
    response = await request(describe, "OPTIONS", path, [*HOOKS, Routing(Router(ROUTES))])
    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
    assert response.headers["x-content-type-options"] == "nosniff"
