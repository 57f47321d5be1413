"""Tests of every route, generated from the route table: no anonymous access, and no change by invalid input."""

import re
from typing import Any

import httpx
import pytest
from sqlalchemy import column, select, table

from api_client import Json, assert_problem
from cases import each
from restwell.database import Database, query
from restwell.web._openapi import operations
from restwell.web._request import body_media_type
from shop.app import create_app
from shop.schema import metadata
from shop.settings import ShopSettings
from shop_client import ShopClient

SOME_ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
OPERATIONS = operations(create_app(ShopSettings()).routes)
BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff", 400),
    (b'{"a": NaN}', 400),
    (b"[" * 10_000, 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"text"', 422),
    (b"99999999999999999999999999999999", 422),
    (b'{"no such field": 1}', 422),
    (b'{"\\u0000": "\\u0000"}', 422),
]

_dumps = {
    one.name: query(f"test.{one.name}", select(one).limit(5_000), into=dict)
    for one in (
        *metadata.sorted_tables,
        table("jobs", column("id"), column("state")),
        table("idempotency_keys", column("key"), column("request_hash")),
    )
}


def one_of(path: str) -> str:
    return re.sub(r"\{\w+\}", SOME_ID, path)


async def dump(database: Database) -> dict[str, list[str]]:
    """Every row of every table."""
    return {name: sorted(map(repr, await database.all(one))) for name, one in _dumps.items()}


def cases(**wanted: Any) -> list[Any]:
    """The operations with the given guards, bodies or ids."""
    found = []
    for endpoint in OPERATIONS:
        guards, path, method = endpoint.guards, endpoint.path, endpoint.method
        traits = {
            "guarded": bool(guards),
            "body": endpoint.parameters.data is not None,
            "with_id": "{" in path,
            "upload": endpoint.parameters.upload,  # no JSON body; see shop/tests/test_images.py
        }
        if all(traits[name] == value for name, value in wanted.items()):
            found.append(pytest.param(method, one_of(path), id=f"{method} {path}"))
    return found


@pytest.mark.slow
@each(("method", "path"), cases(guarded=True))
async def test_a_request_without_a_valid_token_gets_a_401(
    anyone: ShopClient, database: Database, method: str, path: str
) -> None:
    before = await dump(database)
    for token in (None, "", "nonsense", "rt_refresh"):
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        answer = await anyone.send(method, path, **headers)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await dump(database) == before


@pytest.mark.slow
@each("path", sorted({one_of(operation.path) for operation in OPERATIONS}))
async def test_a_path_answers_any_other_method_with_405(admin: ShopClient, path: str) -> None:
    allowed = {operation.method for operation in OPERATIONS if one_of(operation.path) == path}
    for method in METHODS - allowed:
        answer = await admin.send(method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert allowed <= set(answer.headers["allow"].split(", "))


@pytest.mark.slow
@each(("method", "path"), cases(with_id=True, upload=False))
async def test_an_unknown_id_gets_a_404(admin: ShopClient, method: str, path: str) -> None:
    body: Json | None = {} if method == "PATCH" else None
    assert_problem(await admin.send(method, path, body, if_match="*"), 404, "not_found")
    for bad in ("1", "x", "%00", "..%2f..", SOME_ID + "0", "'; DROP TABLE users; --"):
        answer = await admin.send(method, path.replace(SOME_ID, bad), body, if_match="*")
        assert answer.status_code in {404, 405}


@pytest.mark.slow
@each(("method", "path"), cases(body=True))
async def test_an_invalid_body_is_refused_and_changes_no_row(
    admin: ShopClient, database: Database, method: str, path: str
) -> None:
    before = await dump(database)
    for body, status in BODIES:
        code = {400: "malformed_request", 422: "invalid"}[status]
        assert_problem(await send_raw(admin, method, path, body), status, code)
    for content_type in ("text/plain", "application/xml", "multipart/form-data; boundary=x", ""):
        answer = await send_raw(admin, method, path, b"{}", content_type)
        assert_problem(answer, 415, "unsupported_media_type")
    assert_problem(await send_raw(admin, method, path, b'"' + b"x" * 2**20 + b'"'), 413, "body_too_large")
    assert await dump(database) == before


async def send_raw(
    person: ShopClient, method: str, path: str, body: bytes, content_type: str | None = None
) -> httpx.Response:
    headers: Json = {
        "authorization": f"Bearer {person.tokens['access_token']}",
        "content-type": body_media_type(method) if content_type is None else content_type,
        "idempotency-key": "key",
        "if-match": "*",
    }
    return await person.client.request(method, path, content=body, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_every_path_lists_its_methods(client: httpx.AsyncClient) -> None:
    """OPTIONS and a 405 list the same methods for every caller.

    Breaks when a guard or the first method of a controller responds.
    """
    by_path: dict[str, set[str]] = {}
    for one in OPERATIONS:
        methods = {"GET", "HEAD"} if one.method == "GET" else {one.method}
        by_path.setdefault(one.path, {"OPTIONS"}).update(methods)
    for path, methods in by_path.items():
        address = re.sub(r"\{\w+\}", SOME_ID, path)
        asked, tried = await client.options(address), await client.request("TRACE", address)
        assert (asked.status_code, tried.status_code) == (204, 405), path
        for answer in (asked, tried):
            assert set(answer.headers["allow"].split(", ")) == methods, path
        assert asked.headers["x-content-type-options"] == "nosniff"
    assert_problem(await client.options("/v1/nothing"), 404, "not_found")
