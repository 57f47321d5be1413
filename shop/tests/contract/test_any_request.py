"""Fuzzed targets, header fields and cookies: the response is never a 5xx, and the event loop is never blocked.

Breaks when a parser does not catch an exception of a library: with ``int`` for Content-Length, ``urlsplit`` for Origin.
"""

import json
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from fuzzing import MARK, InProcess, Response, fuzz
from mutations import NO_FIELD_VALUE, Choices, from_choices, mutated
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE, REFRESH_COOKIE
from scoreboard import Score
from seeded_shop import JSON, SeededShop

Headers = list[tuple[bytes, bytes]]

DOCUMENTS: Final = [
    json.loads(Path(__file__).with_name(f"openapi-{version}.json").read_bytes()) for version in ("v1", "v2")
]
READ: Final[list[tuple[str, list[str]]]] = [
    (path, [one["name"] for one in methods["get"].get("parameters", ()) if one["in"] == "query"])
    for document in DOCUMENTS
    for path, methods in document["paths"].items()
    if "get" in methods
]
UNDOCUMENTED: Final = [
    "/metrics",
    "/docs",
    "/docs/start.js",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/",
    "/v1",
    "*",
    "",
]
METHODS: Final = (
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "CONNECT",
    "get",
    "QUERY",
    "A" * 500,
)
FORM: Final = b"application/x-www-form-urlencoded"


def test_the_requests_that_the_fuzzer_changes_are_valid(server: InProcess, seeded: SeededShop) -> None:
    """The fuzzer needs valid requests: mutations of an invalid request reach only the first check."""
    admin = [(b"authorization", b"Bearer " + seeded.admin)]
    for method, target, headers, body in requests(seeded):
        response = server.send(method, target, [*admin, *headers], body)
        assert response.status < 400 or response.status == 428, (method, target, response)


# Addresses


def address_of(choose: Choices, seeded: SeededShop) -> tuple[str, bytes]:
    """Method and target. Bytes that the server itself rejects are tested in tests/system/test_any_bytes.py."""
    method = choose.of(METHODS) if choose.below(4) == 3 else "GET"
    if choose.below(12) == 11:
        return method, mutated(choose, choose.of(UNDOCUMENTED).encode())
    path, names = choose.of(READ)
    where, what = choose.below(4), choose.below(4)

    def part(name: str, *, change: bool) -> bytes:
        value = choose.of(seeded.values.get(name, ("x",))).encode()
        return mutated(choose, value) if change else quote(value).encode()

    filled = re.sub(
        rb"\{(\w+)\}", lambda one: part(one[1].decode(), change=where == 1).replace(b"?", b"%3F"), path.encode()
    )
    if where == 2:
        filled = mutated(choose, filled)
    pairs = [
        (mutated(choose, name.encode()) if what == 2 else name.encode()) + b"=" + part(name, change=what == 1)
        for name in (choose.of(names or ["x"]) for _ in range(choose.of((1, 0, 2, 3))))
    ]
    query = choose.of((b"&", b"&", b";", b"&&")).join(pairs)
    if what == 3:
        query = mutated(choose, query)
    return method, filled + (b"?" + query if query else b"")


@pytest.mark.scoreboard("T1", "any path and query", MARK, backend="SQLite")
def test_no_request_target_causes_a_5xx(server: InProcess, seeded: SeededShop, score: Score) -> None:
    admin = [(b"authorization", b"Bearer " + seeded.admin)]

    def send(given: tuple[str, bytes]) -> Response | str:
        method, target = given
        try:
            response = server.send(method, target, admin if method in {"GET", "HEAD"} else ())
        except UnicodeDecodeError:
            return "not for the application"
        if method == "HEAD":
            assert response.status < 500 or b"/v1/identities/okta/sign-in" in target
            assert not response.body
            return f"HEAD {response.status}"
        if response.status == 503:  # documented: the provider is unreachable
            assert json.loads(response.body)["code"] == "provider_unavailable"
            return "503 of the provider"
        return response

    fuzz(score, from_choices(lambda choose: address_of(choose, seeded)), send)
    assert server.send("GET", "/v1/products").status == 200


# Header fields

FIELDS: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"accept": (b"application/json, */*;q=0.1",),
    b"accept-encoding": (b"gzip, deflate;q=0.5, *;q=0",),
    b"accept-language": (b"de-CH, en;q=0.5",),
    b"access-control-request-headers": (b"content-type, authorization",),
    b"access-control-request-method": (b"PATCH",),
    b"authorization": (b"Bearer abc.def.ghi", b"Basic YTpi", b"Digest a"),
    b"cache-control": (b"no-cache, max-age=0",),
    b"connection": (b"keep-alive, Upgrade", b"close"),
    b"consistency-token": (b"0/16B3748.c2lnbmVk",),
    b"content-encoding": (b"identity", b"gzip"),
    b"content-length": (b"2",),
    b"content-range": (b"bytes 0-1/2",),
    b"content-type": (
        b"application/json; charset=utf-8",
        b"application/merge-patch+json",
        FORM,
        b"multipart/form-data; boundary=x",
    ),
    b"cookie": (b'a=b; c="d"',),
    b"date": (b"Fri, 27 Nov 2026 08:00:00 GMT",),
    b"expect": (b"100-continue",),
    b"forwarded": (b'for="[2001:db8::1]:80";proto=https;by=_x',),
    b"host": (b"app.test", b"[::1]:80"),
    b"idempotency-key": (b'"8e03978e-40d5-43dd-bc93-6894a57f9324"',),
    b"if-match": (b'"1.v1"', b'W/"1.v1-gzip", "2.v2"', b"*"),
    b"if-none-match": (b'"1"', b'W/"a", "b"', b"*"),
    b"if-modified-since": (b"Fri, 27 Nov 2026 08:00:00 GMT",),
    b"origin": (b"http://app.test", b"null", b"http://[::1]:80"),
    b"prefer": (b"respond-async, wait=10",),
    b"range": (b"bytes=0-1,-5",),
    b"referer": (b"http://app.test/a?b#c",),
    b"sec-fetch-site": (b"same-origin", b"cross-site"),
    b"stripe-signature": (b"t=1,v1=aa",),
    b"te": (b"trailers",),
    b"traceparent": (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    b"tracestate": (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",),
    b"transfer-encoding": (b"chunked",),
    b"upgrade": (b"websocket", b"h2c"),
    b"user-agent": (b"curl/8.5.0",),
    b"via": (b"1.1 proxy",),
    b"x-forwarded-for": (b"203.0.113.7, [2001:db8::1]:80",),
    b"x-forwarded-host": (b"other.test",),
    b"x-forwarded-proto": (b"https",),
    b"x-http-method-override": (b"DELETE",),
    b"x-request-id": (b"0192f0c1-2a3b-7c4d-8e5f-60718293a4b5",),
}
_NO_FIELD_NAME: Final = bytes(set(range(256)) - set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"))


def requests(seeded: SeededShop) -> list[tuple[str, str, Headers, bytes]]:
    """One route of each kind, signed in."""
    product, order = seeded.values["product_id"][0], seeded.values["order_id"][0]
    of_json = (b"content-type", JSON)
    items = json.dumps({"items": [{"product_id": product, "quantity": 1}]}).encode()
    patch = [(b"content-type", b"application/merge-patch+json")]
    return [
        ("GET", f"/v1/products/{product}", [], b""),
        ("GET", "/v1/products?limit=2", [], b""),
        ("GET", "/v1/users/me", [], b""),
        ("PATCH", f"/v1/products/{product}", patch, b"{}"),
        ("POST", "/v1/orders", [of_json, (b"idempotency-key", b"a key")], items),
        ("GET", f"/v1/orders/{order}", [], b""),
        ("GET", "/v1/users/me/export", [], b""),
        ("OPTIONS", "/v1/products", [(b"origin", b"http://a.test"), (b"access-control-request-method", b"GET")], b""),
        ("GET", "/health/live", [], b""),
        ("GET", "/docs", [], b""),
    ]


def fields_of(choose: Choices, seeded: SeededShop) -> tuple[str, str, Headers, bytes]:
    """A request with one to four additional or replaced header fields."""
    method, target, headers, body = choose.of(requests(seeded))
    added: Headers = [] if choose.below(8) == 7 else [(b"authorization", b"Bearer " + seeded.admin)]
    for _ in range(1 + choose.below(4)):
        name = choose.of(tuple(FIELDS))
        value = mutated(choose, choose.of(FIELDS[name])).translate(None, NO_FIELD_VALUE).strip()
        if choose.below(8) == 7:
            name = mutated(choose, name).lower().translate(None, _NO_FIELD_NAME)[:100] or name
        if choose.below(3) == 0:  # in place of what was there
            headers = [one for one in headers if one[0] != name]
            added = [one for one in added if one[0] != name]
        added += [(name, value)] * choose.of((1, 1, 1, 2, 3, 90))
    return method, target, [*headers, *added], body


@pytest.mark.scoreboard("T1", "any header fields", MARK, backend="SQLite")
def test_no_header_fields_cause_a_5xx(server: InProcess, seeded: SeededShop, score: Score) -> None:
    fuzz(score, from_choices(lambda choose: fields_of(choose, seeded), size=32), lambda given: server.send(*given))
    assert server.send("GET", "/v1/users/me", [(b"authorization", b"Bearer " + seeded.admin)]).status == 200


# Cookies


def cookies_of(choose: Choices, seeded: SeededShop) -> tuple[str, str, Headers, bytes]:
    method, target = choose.of(
        (("GET", "/v1/users/me"), ("POST", "/v1/sessions/refresh"), ("GET", "/v1/products"), ("PATCH", "/v1/users/me"),
         ("GET", "/v1/identities/okta/callback?code=x&state=" + seeded.values["state"][1]))
    )  # fmt: skip
    values = {
        ACCESS_COOKIE: seeded.admin,
        REFRESH_COOKIE: seeded.refresh,
        OAUTH_STATE_COOKIE: b"eyJhIjoxfQ.c2lnbmVk",
        "consistency-token": b"0/16B3748.c2lnbmVk",
        "other": b'"a\\054b\\"%20"',
    }
    lines = []
    for _ in range(choose.of((1, 1, 2))):
        pairs = []
        for _ in range(choose.of((1, 2, 3, 30))):
            name = choose.of(tuple(values))
            shown = mutated(choose, name.encode()) if choose.below(6) == 5 else name.encode()
            pairs.append(shown + choose.of((b"=", b"=", b"=", b"", b"==", b" = ")) + mutated(choose, values[name]))
        line = choose.of((b"; ", b"; ", b";", b",", b" ", b";;")).join(pairs)
        lines.append((b"cookie", line.translate(None, NO_FIELD_VALUE).strip()))
    site = choose.of((b"same-origin", b"cross-site", b"none", b""))
    sent: Headers = [(b"sec-fetch-site", site)] if site else [(b"origin", mutated(choose, b"http://app.test"))]
    if method == "PATCH":
        sent.append((b"content-type", b"application/merge-patch+json"))
    sent = [(name, value.translate(None, NO_FIELD_VALUE)) for name, value in sent]
    return method, target, [*sent, *lines], b"{}" if method == "PATCH" else b""


@pytest.mark.scoreboard("T1", "any cookies", MARK, backend="SQLite")
def test_no_cookies_cause_a_5xx_or_let_a_stranger_in(server: InProcess, seeded: SeededShop, score: Score) -> None:
    """A cookie without a valid token lets no client in."""

    def send(given: tuple[str, str, Headers, bytes]) -> Response:
        response = server.send(*given)
        if given[1] == "/v1/users/me" and response.status < 400:
            cookies = b"; ".join(value for name, value in given[2] if name == b"cookie")
            assert seeded.admin in cookies or b"%" in cookies or b"\\" in cookies
        return response

    fuzz(score, from_choices(lambda choose: cookies_of(choose, seeded), size=32), send)
