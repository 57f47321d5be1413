"""Sends the same requests to an application that calls its routes directly, and to the same through a host.

::

    direct, hosted = create_app(settings), through_litestar(lambda: create_app(other_settings))
    async with running(direct), running(hosted):
        await assert_same_responses(direct, hosted, [*hostile_requests(direct.routes, TOKENS), ...])
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partialmethod
from typing import Any, Final, NamedTuple
from unittest.mock import patch
from urllib.parse import unquote_to_bytes
from uuid import UUID

from restwell import App, Restwell
from restwell.edge._context import AsgiApp, Message
from restwell.edge._route import Route
from restwell.litestar import LitestarHost

REQUEST_ID: Final = b"a-request-of-both-ways"
_BY_NATURE: Final = re.compile(
    rb";r=\d+;t=\d+|ttl=\d+|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?"
)
"""Quotas and seconds that are left, new ids, and times: they differ from run to run."""
_VARYING_HEADERS: Final = frozenset({b"age", b"retry-after"})
"""Those with the time that has passed."""
_CHANGING: Final = frozenset({"/metrics"})
_SAMPLES: Final[dict[type, str]] = {UUID: "0192f0c1-2a3b-7c4d-8e5f-60718293a4c0", int: "1", str: "some"}
_JSON: Final = (b"content-type", b"application/json")
_PATCH: Final = (b"content-type", b"application/merge-patch+json")
_DEEP: Final = b"[" * 5_000
_BODIES: Final = (
    b"",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"name": 1, "text": 1, "word": 1}',
    b'{"name": "x", "name": "y"}',
    b'{"name": "some", "text": "some", "word": "some"}',
    b'{"unknown": 1e999}',
    _DEEP,
    b'{"name": "' + b"x" * 3_000 + b'"}',
)
_QUERIES: Final = (
    b"limit=2",
    b"limit=two&detail=two",
    b"limit=0",
    b"limit=1&limit=2&detail=1&detail=2",
    b"cursor=forged&limit=1",
    b"cursor=",
    b"%zz",
    b"name=%ff",
    b"a=1&" * 101,
    b"unknown=%26%3D&%C3%A9=1",
    b"name=+a%20b",
)
_HEADERS: Final[tuple[tuple[tuple[bytes, bytes], ...], ...]] = (
    ((b"accept-encoding", b"gzip"),),
    ((b"authorization", b"Basic dTpw"),),
    ((b"authorization", b"Bearer forged"),),
    ((b"authorization", b"Bearer"),),
    ((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")),
    ((b"x-kind", b"one"), (b"x-kind", b"two \xe9"), (b"accept", b"a"), (b"accept", b"b")),
    ((b"if-none-match", b"*"),),
    ((b"if-none-match", b'W/"3"'), (b"cache-control", b"no-cache")),
    ((b"if-match", b'"9"'),),
    ((b"if-match", b"garbage"),),
    ((b"content-length", b"many"),),
    ((b"content-encoding", b"gzip"),),
    ((b"cookie", b"a=1"), (b"cookie", b"b=2; access_token=forged")),
    ((b"origin", b"https://other.test"), (b"sec-fetch-site", b"cross-site")),
    ((b"host", b"[::1]:8000"),),
    ((b"host", b"bad host"),),
    ((b"expect", b"100-continue"), (b"range", b"bytes=0-1"), (b"transfer-encoding", b"chunked")),
    ((b"idempotency-key", b""),),
    tuple((b"x-many-%d" % number, b"1") for number in range(100)),
)
_METHODS: Final = ("HEAD", "OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get")
_WRONG_SEGMENTS: Final = (
    b"0",
    b"00",
    b"-1",
    b"99999999999999999999",
    b"%C3%A9",
    b"%c3%a9",
    b"a%2Fb",
    b"a%20b",
    b"%2e%2e",
    b"%00",
    b"..",
    b"",
    b"x" * 3_000,
    b"x" * 9_000,
    b"{number}",
    b"0192F0C1-2A3B-7C4D-8E5F-60718293A4C0",
)


class Sent(NamedTuple):
    """A request: ``target`` is the path and the query as on the wire; ``chunks`` is the body."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    chunks: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"{self.method} {self.target[:200]!r} {self.headers!r:.300} {self.chunks!r:.100}"


class Received(NamedTuple):
    """A response, without headers that differ by nature. ``route``: the path of the route that the edge has found."""

    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes]
    route: str | None

    def without_content(self) -> "Received":
        return self._replace(headers=[field for field in self.headers if field[0] != b"content-length"], chunks=[])


def through_litestar(create_app: Callable[[], App], **options: Any) -> App:
    """The application with Litestar as its host, and with middleware that does nothing, so that all routes pass it."""
    host = LitestarHost(**{"middleware": [does_nothing], **options})
    with patch.object(Restwell, "app", partialmethod(Restwell.app, host=host)):
        app = create_app()
    assert app.host_reason
    return app


def does_nothing(app: Any) -> Any:
    """Middleware of Litestar."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return call


def hostile_requests(routes: Iterable[Route], authorizations: Sequence[bytes] = ()) -> Iterator[Sent]:
    """Requests to each route: valid ones, and ones that break a rule of HTTP, JSON or the declaration.

    ``authorizations``: values of the Authorization header that authenticate.
    """
    signed = [((b"authorization", value),) for value in authorizations]
    seen: set[bytes] = set()
    for route in routes:
        path = _sample(route)
        content_type = _PATCH if route.method == "PATCH" else _JSON
        yield Sent(route.method, path)
        for number, body in enumerate(_BODIES):
            sent = (*signed[number % len(signed)], content_type) if signed else (content_type,)
            key = (b"idempotency-key", b"key-%d" % number)
            yield Sent(route.method, path, (*sent, key, (b"if-match", b'"3.v1"')), (body,))
            yield Sent(route.method, path, (*sent, key, (b"if-match", b"*")), (body[:1], body[1:], b""))
        for query in _QUERIES:
            yield Sent(route.method, path + b"?" + query, signed[0] if signed else ())
        for headers in _HEADERS:
            yield Sent(route.method, path, headers)
            if route.method not in {"GET", "DELETE"}:
                yield Sent(route.method, path, (content_type, *headers), (b"{}",))
        for authorization in signed:
            yield Sent(route.method, path, authorization)
        if path not in seen:
            seen.add(path)
            yield from (Sent(method, path) for method in _METHODS)
            yield from (Sent(route.method, wrong) for wrong in _wrong_paths(path, route))


def _wrong_paths(path: bytes, route: Route) -> Iterator[bytes]:
    yield from (path + b"/", path + b"//", path + b"/..", path + b"%2F")
    yield from (path.replace(b"/", b"//", 1), b"/%76" + path[2:], path.upper())
    for name in route.path_types:
        before, _, after = route.path.partition(f"{{{name}}}")
        for wrong in _WRONG_SEGMENTS:
            yield _sample(route, before) + wrong + _sample(route, after)


def _sample(route: Route, path: str | None = None) -> bytes:
    filled = route.path if path is None else path
    for name, kind in route.path_types.items():
        filled = filled.replace(f"{{{name}}}", _SAMPLES[kind])
    return filled.encode()


async def assert_same_responses(
    direct: AsgiApp, hosted: AsgiApp, requests: Iterable[Sent], *, varying: bytes | None = None
) -> set[tuple[str, str]]:
    """Send each request to both; returns the method and route of each that had a route.

    ``varying``: a pattern of what else differs by nature, such as tokens.
    """
    found = set()
    by_nature = re.compile(_BY_NATURE.pattern + b"|" + varying) if varying is not None else _BY_NATURE
    for request in requests:
        first, second = await _call(direct, request), await _call(hosted, request)
        await asyncio.sleep(0)  # otherwise this would block the event loop
        if first.route in _CHANGING:
            first, second = first.without_content(), second.without_content()
        if first != second:
            first, second = _comparable(first, by_nature), _comparable(second, by_nature)
        assert first == second, f"{request}\ndirectly {first!r:.2000}\nhosted   {second!r:.2000}"
        if first.route is not None:
            found.add((request.method, first.route))
    return found


async def send(app: AsgiApp, request: Sent) -> Received:
    """Call the application as the server would. The response has no texts that differ by nature."""
    return _comparable(await _call(app, request), _BY_NATURE)


async def _call(app: AsgiApp, request: Sent) -> Received:
    raw_path, _, query = request.target.partition(b"?")
    host = () if any(name == b"host" for name, _ in request.headers) else ((b"host", b"app.test"),)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode(errors="replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [*host, (b"x-request-id", REQUEST_ID), *request.headers],
        "client": ("127.0.0.1", 1),
        "server": ("app.test", 80),
        "state": {},
    }
    remaining = list(request.chunks) or [b""]
    sent: list[Message] = []
    complete = asyncio.Event()

    async def receive() -> Message:
        if remaining:
            return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}
        await complete.wait()  # the client waits for the response
        return {"type": "http.disconnect"}

    async def collect(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            complete.set()

    await app(scope, receive, collect)
    first, *others = sent
    headers = [field for field in first["headers"] if field[0] not in _VARYING_HEADERS]
    chunks = [message.get("body", b"") for message in others]
    return Received(first["status"], headers, chunks, scope.get("path_template"))


def _comparable(received: Received, by_nature: re.Pattern[bytes]) -> Received:
    headers = [(name, _same(value, by_nature)) for name, value in received.headers]
    return received._replace(headers=headers, chunks=[_same(chunk, by_nature) for chunk in received.chunks])


@lru_cache(256)
def _same(text: bytes, by_nature: re.Pattern[bytes]) -> bytes:
    return by_nature.sub(b"(differs)", text)
