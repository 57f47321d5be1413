"""The values of a declaration are checked when it is made, at import."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from restwell.errors import PROBLEMS, NotFound
from restwell.pages import OffsetPage, Page
from restwell.rate_limits import Rate
from restwell.web import ClientCredentials, Lifecycle, TokenScheme, public, requires_role, signed_in
from restwell.web._checks import _CHECKS, check
from sample_jobs import note
from tiny.app import authenticate
from webhook_app import PAID

VALID: dict[str, list[Any]] = {
    "path": ["", "/", "/orders", "/orders/{order_id}/lines", "/{a}/{b}"],
    "guards": [[], [signed_in], (signed_in,), [requires_role("owner")], [partial(signed_in)]],
    "raises": [[NotFound], ()],
    "idempotent": [True, False],
    "cache": [None, public(ttl_seconds=1, tags=[])],
    "rate_limit": [None, UNSET, Rate("few", 2, seconds=1)],
    "timeout_seconds": [None, 1, 0.5],
    "query_budget": [{}, {"orders.find": 2}],
    "status_code": [None, 200, 202, 303],
    "other_responses": [{}, {303: "Moved."}],
    "media_type": [None, "text/csv"],
    "max_body_bytes": [None, 1],
    "tags": [[], ["Orders"], ("Orders",)],
    "tag_descriptions": [{}, {"Orders": "Orders of users."}],
    "webhooks": [[], (PAID,)],
    "enabled": [None, bool],
    "include_in_schema": [True, False],
    "error_format": [None, PROBLEMS],
    "controllers": [[], ()],
    "services": [[], (1,)],
    "jobs": [[note], ()],
    "queries": [[pytest], ()],
    "migrations": [{}, {"accounts": Path("migrations"), "accounts_2": Path("x")}],
    "authenticate": [None, authenticate, type, TokenScheme(authenticate)],
    "session_cookies": [True, False],
    "client_credentials": [None, ClientCredentials("/token", {})],
    "types": [{}, {int: bool}, {int: lambda: bool}],
    "prefix": ["/v1", ""],
    "lifecycle": [None, Lifecycle(deprecated=date(2026, 12, 1))],
    "requests": [[], (authenticate,)],
    "responses": [[], (authenticate,)],
    "page": [None, Page],
    "parts": [[], ()],
}
INVALID: dict[str, list[Any]] = {
    "path": ["orders", "/orders/", "//", "/{order_id:uuid}", "/{}", "/a{b}", "/{a}b", "/{1}", "/{", 5, None, signed_in],
    "guards": [signed_in, ["signed_in"], None, [len], [requires_role]],
    "raises": [NotFound, [ValueError], [NotFound()]],
    "idempotent": ["yes", 1, None],
    "cache": [True, 60],
    "rate_limit": [5, "5/minute"],
    "timeout_seconds": [0, -1, "5", True],
    "query_budget": [["orders.find"], "orders.find", {"orders.find": "2"}, {"orders.find": True}, {1: 2}],
    "status_code": ["200", 99, 404, 503, True],
    "other_responses": [{"303": "Moved."}, {303: None}, [303]],
    "media_type": [5, b"text/csv"],
    "max_body_bytes": [0, -1, 1.5, "1", True],
    "tags": ["Orders", [5], None],
    "tag_descriptions": [["Orders"], {"Orders": 5}, {5: "Orders of users."}],
    "webhooks": [None, ["order.paid"], PAID],
    "enabled": [True, "OPS"],
    "include_in_schema": ["no", None],
    "error_format": [dict, "problem"],
    "controllers": [None, {}],
    "services": [None, 5],
    "jobs": [note, [signed_in]],
    "queries": [pytest, ["module"]],
    "migrations": [
        Path("migrations"),
        {"accounts": "migrations"},
        {"o'clock": Path("x")},
        {"": Path("x")},
        {"restwell": Path("x")},
        {"application": Path("x")},
        {1: Path("x")},
    ],
    "authenticate": ["bearer", True],
    "session_cookies": [1, None],
    "client_credentials": ["/token", ClientCredentials("token", {})],
    "types": [None, {"User": int}, {int: "bool"}],
    "prefix": ["v1", "/v1/", 1],
    "lifecycle": ["2026-12-01", date(2026, 12, 1)],
    "requests": [authenticate, [int], None],
    "responses": [authenticate, ["read"]],
    "page": [dict, Page([], None), OffsetPage],
    "parts": [None, signed_in],
}


def cases(of: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name} {number}")
        for name, values in of.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("name", "value"), cases(VALID))
def test_a_value_of_its_kind_is_accepted(name: str, value: Any) -> None:
    check("GET /orders", {name: value})


@pytest.mark.parametrize(("name", "value"), cases(INVALID))
def test_another_value_is_refused_with_what_it_must_be(name: str, value: Any) -> None:
    """Breaks, one by one, without the check: the route starts, and fails or ignores its option later."""
    with pytest.raises(TypeError) as refused:
        check("GET /orders", {name: value})
    assert str(refused.value) == f"GET /orders: {name} must be {_CHECKS[name][1]}, not {value!r}"


def test_each_wrong_value_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"^GET /: timeout_seconds must be .*; and tags must be a list of texts, not 5$"
    ):
        check("GET /", {"method": "GET", "tags": 5, "timeout_seconds": 0})


def test_every_kind_of_value_has_its_cases() -> None:
    assert VALID.keys() == INVALID.keys() == _CHECKS.keys()
