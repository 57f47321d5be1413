"""Repeated, invalid, too many and too large header fields.

Each case is sent to a route, to a cached route, and to a missing route.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import pytest
from msgspec import Struct

from restwell import App
from restwell.edge._header_fields import MAX_BYTES, MAX_FIELDS, SINGLETONS
from restwell.settings import CorsSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Header, Request, Response, delete, get, patch, post, public
from tiny.app import app_of

Lines = list[tuple[bytes, bytes]]

HOST: Final = (b"host", b"app.test")
JSON: Final = (b"content-type", b"application/json")
MERGE: Final = (b"content-type", b"application/merge-patch+json")
ORIGIN: Final = "https://page.example"


class Body(Struct, frozen=True):
    text: str = ""


class Things(Controller):
    path = "/things"

    @get("/plain")
    async def plain(
        self, request: Request, condition: Annotated[str | None, Header("If-Match")] = None
    ) -> dict[str, Any]:
        """The headers that a route reads."""
        cookies, client = request.cookies, request.client_address
        return {**dict(request.headers), "if-match": condition, "cookies": cookies, "client": client}

    @get("/cached", cache=public(ttl_seconds=60, tags=["cached"], vary=["Accept-Language"]))
    async def cached(self, request: Request) -> Response[dict[str, str]]:
        """One response per Accept-Language."""
        content = {"languages": request.headers.get("accept-language", ""), "long": "x" * 2_000}
        return Response(content=content, headers={"etag": '"7"'})

    @post()
    async def add(self, data: Body) -> Body:
        """Return the body."""
        return data

    @patch()
    async def change(self, data: Body) -> Body:
        """Return the body."""
        return data

    @delete()
    async def remove(self) -> None:
        """Return nothing."""


class RawResponse(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@pytest.fixture
async def app(tiny_settings: Settings) -> AsyncIterator[App]:
    settings = tiny_settings.model_copy(update={"cors": CorsSettings(origins=(ORIGIN,)), "trusted_hops": 1})
    made = app_of(settings, Things)
    async with running(made):
        yield made


async def ask(
    app: App, method: str, path: str, lines: Lines, *, body: bytes = b"", version: str = "1.1"
) -> RawResponse:
    """Call the application as a server would, with exactly these header lines."""
    scope: dict[str, Any] = {"type": "http", "http_version": version, "scheme": "http", "method": method, "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": lines, "state": {}}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "asgi": {"version": "3.0"}}
    sent: list[Any] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.sleep(60)
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return RawResponse(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]))


def assert_refused(response: RawResponse, status: int, code: str, detail: str = "") -> None:
    assert (response.status, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json
    assert (problem["status"], problem["code"]) == (status, code)
    assert detail in problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == ("no-store", "nosniff")


READS: Final = [("GET", "/v1/things/plain")]
ALL: Final = [
    *READS,
    ("GET", "/v1/things/cached"),
    ("GET", "/v1/things/none"),
    ("POST", "/v1/things"),
    ("PATCH", "/v1/things"),
    ("DELETE", "/v1/things"),
    ("OPTIONS", "/v1/things"),
]
kinds_of_routes = pytest.mark.parametrize(("method", "path"), ALL)


@pytest.mark.parametrize(("method", "path"), READS)
async def test_the_lines_of_a_list_header_are_joined(app: App, method: str, path: str) -> None:
    """Breaks when only one line is used: a lost update, or an unnecessary 412."""
    lines = [
        HOST,
        (b"if-match", b'"1"'),
        (b"cookie", b"a=1"),
        (b"x-own", b"one"),
        (b"if-match", b'"2", "3"'),
        (b"cookie", b"b=2"),
        (b"x-own", b""),
        (b"x-own", b"two"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x-forwarded-for", b"203.0.113.7"),
    ]
    response = await ask(app, method, path, lines)
    assert response.status == 200
    assert response.json["if-match"] == '"1", "2", "3"'
    assert response.json["x-own"] == "one, , two"
    assert response.json["cookie"] == "a=1; b=2"
    assert response.json["cookies"] == {"a": "1", "b": "2"}
    assert response.json["client"] == "203.0.113.7"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("held", [[b'"7"', b'"8"'], [b'"8"', b'"7"'], [b'"8", W/"7"'], [b'"6"', b'"8"', b'"7-gzip"']])
async def test_any_line_of_if_none_match_counts_for_a_cached_response(app: App, method: str, held: list[bytes]) -> None:
    """Seen to fail when only the last line was used."""
    coding = [(b"accept-encoding", b"gzip")] if b"gzip" in held[-1] else []
    lines = [HOST, *coding, *((b"if-none-match", one) for one in held)]
    response = await ask(app, method, "/v1/things/cached", lines)
    assert (response.status, response.body) == (304, b"")


@pytest.mark.parametrize(
    ("codings", "chosen"),
    [
        ([b"gzip", b"br"], "gzip"),
        ([b"br", b"gzip"], "gzip"),
        ([b"br", b"gzip;q=0.5", b"identity;q=0"], "gzip"),
        ([b"br", b"deflate"], None),
        ([b"*", b"gzip;q=0"], None),
        ([b"", b"gzip"], "gzip"),
        ([b"br, " * 200, b"gzip"], "gzip"),
        ([b"br, " * 2_000, b"gzip"], None),
    ],
)
async def test_any_line_of_accept_encoding_counts_for_a_cached_response(
    app: App, codings: list[bytes], chosen: str | None
) -> None:
    for _ in range(2):  # from the application, then from the cache
        response = await ask(app, "GET", "/v1/things/cached", [HOST, *((b"accept-encoding", one) for one in codings)])
        assert (response.status, response.headers.get("content-encoding")) == (200, chosen)


async def test_the_lines_of_a_header_in_vary_are_joined_in_the_cache_key(app: App) -> None:
    """Breaks when the cache key contains another line than the handler reads."""
    hits = []
    for one in ([b"de", b"en"], [b"de, en"], [b"en"], [b"de", b"en"]):
        lines = [HOST, *((b"accept-language", language) for language in one)]
        response = await ask(app, "GET", "/v1/things/cached", lines)
        assert response.json["languages"] == b", ".join(one).decode()
        hits.append("hit" in response.headers["cache-status"])
    assert hits == [False, True, False, True]


async def test_a_preflight_may_list_its_headers_in_several_lines(app: App) -> None:
    """Breaks when only the last line is used."""
    asked = [(b"origin", ORIGIN.encode()), (b"access-control-request-method", b"PATCH")]
    asked += [(b"access-control-request-headers", b"if-match"), (b"access-control-request-headers", b"content-type")]
    response = await ask(app, "OPTIONS", "/v1/things", [HOST, *asked])
    assert response.headers["access-control-allow-headers"] == "if-match, content-type"
    assert response.headers["access-control-allow-origin"] == ORIGIN


@kinds_of_routes
async def test_a_repeated_singleton_header_is_refused(app: App, method: str, path: str) -> None:
    """Seen to fail with 200, 401 or 415, depending on the line that was used. Equal lines are rejected, too."""
    for name in sorted(SINGLETONS - {b"host"}):
        for second in (b"1", b"2"):
            lines = [HOST, (name, b"1"), (b"x-between", b"y"), (name, second)]
            assert_refused(await ask(app, method, path, lines), 400, "malformed_request", name.decode())


BAD_HOSTS: Final[list[list[bytes]]] = [
    [],
    [b""],
    [b" "],
    [b"app.test", b"app.test"],
    [b"app.test", b"evil.example"],
    [b"app.test, evil.example"],
    [b"app.test evil.example"],
    [b"user@app.test"],
    [b"app.test/path"],
    [b"app.test?"],
    [b"app.test#"],
    [b"app.test\\"],
    [b"app.test:x"],
    [b"app.test:65536"],
    [b"app.test:80:80"],
    [b"\xc3\xa9.example"],
    [b"%61pp.test"],
    [b"<script>"],
    [b"["],
    [b"[::1"],
    [b"[::1]x"],
    [b"[::g]"],
    [b"[1.2.3.4]"],
    [b"[fe80::1%25eth0]"],
    [b"::1"],
    [b"x" * 256],
]
GOOD_HOSTS: Final = [
    b"app.test",
    b"APP.test.",
    b"my_service:8000",
    b"127.0.0.1:65535",
    b"localhost:",
    b"[::1]",
    b"[2001:db8::7]:443",
    b"[::ffff:1.2.3.4]:1",
    b"xn--bcher-kva.example",
]


@kinds_of_routes
async def test_a_missing_repeated_or_malformed_host_is_refused(app: App, method: str, path: str) -> None:
    """RFC 9112 3.2. Seen to fail: a request with a missing, repeated or invalid host was accepted."""
    for hosts in BAD_HOSTS:
        for version in ("1.1", "2") if hosts else ("1.1",):
            response = await ask(app, method, path, [(b"host", host) for host in hosts], version=version)
            assert_refused(response, 400, "malformed_request", "host")


@pytest.mark.parametrize("path", [path for _, path in READS] + ["/v1/things/cached"])
async def test_every_valid_form_of_host_is_accepted(app: App, path: str) -> None:
    """Breaks when an IPv6 address, a port or a trailing dot is rejected."""
    for host in GOOD_HOSTS:
        assert (await ask(app, "GET", path, [(b"host", host)])).status == 200, host


@pytest.mark.parametrize("path", [path for _, path in READS] + ["/v1/things/cached"])
async def test_only_http_1_0_may_omit_the_host(app: App, path: str) -> None:
    """Breaks when only the spelling of the ASGI specification is accepted."""
    for version in ("1.0", "1"):  # the ASGI specification, and Granian
        for lines in ([], [(b"host", b"")]):
            assert (await ask(app, "GET", path, lines, version=version)).status == 200
        two = [(b"host", b""), (b"host", b"app.test")]
        for lines in (two, [(b"host", b"a b")]):
            assert_refused(await ask(app, "GET", path, lines, version=version), 400, "malformed_request", "host")


@kinds_of_routes
async def test_too_many_or_too_long_header_fields_get_a_431(app: App, method: str, path: str) -> None:
    """Seen to fail: a header of 70,000 bytes was accepted; the server rejected more without a body."""
    many = [(b"x-%d" % number, b"y") for number in range(MAX_FIELDS)]
    same = [(b"x-same", b"y")] * MAX_FIELDS
    for lines in (many, same, [(b"x-long", b"y" * MAX_BYTES)], [(b"cookie", b"y" * (MAX_BYTES // 2))] * 2):
        assert_refused(await ask(app, method, path, [HOST, *lines]), 431, "headers_too_large")
    as_many = [*many[2:], (b"x-long", b"y" * (MAX_BYTES - 4_000))]
    assert (await ask(app, method, path, [HOST, *as_many])).status != 431


@kinds_of_routes
async def test_if_none_match_is_refused_with_a_change(app: App, method: str, path: str) -> None:
    """RFC 9110 13.1.2. Seen to fail: the header was ignored, and the change was made."""
    for tag in (b"*", b'"7"', b'W/"7", "8"', b""):
        response = await ask(app, method, path, [HOST, (b"if-match", b'"7"'), (b"if-none-match", tag)])
        if method in {"GET", "OPTIONS"}:
            assert response.status != 400
        else:
            assert_refused(response, 400, "malformed_request", "If-None-Match")


async def test_if_none_match_does_not_hide_that_a_method_is_not_allowed(app: App) -> None:
    """Breaks if TRACE with the header is a 400."""
    for path in ("/v1/things/plain", "/v1/things/cached"):
        assert (await ask(app, "TRACE", path, [HOST, (b"if-none-match", b"")])).status == 405


async def test_a_refusal_of_a_head_request_has_no_body(app: App) -> None:
    for path in ("/v1/things/plain", "/v1/things/cached"):
        response = await ask(app, "HEAD", path, [])
        assert (response.status, response.body) == (400, b"")
        assert int(response.headers["content-length"]) > 0


async def test_a_request_with_checked_header_fields_still_has_its_body(app: App) -> None:
    body = b'{"text":"hello"}'
    for method, kind, status in (("POST", JSON, 201), ("PATCH", MERGE, 200)):
        response = await ask(app, method, "/v1/things", [HOST, kind], body=body)
        assert (response.status, response.body) == (status, body)
