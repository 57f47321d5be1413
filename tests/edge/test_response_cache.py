"""The response cache: its headers for clients and intermediaries, and the responses that must not be shared."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import msgspec
import pytest

from api_client import assert_problem
from restwell.cache import Cache
from restwell.cache._local import LocalStore
from restwell.edge._canonical_path import CanonicalPath
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import Hook, Receive, RequestContext, Scope, Send, request_context
from restwell.edge._deadline import Deadlines
from restwell.edge._header_fields import HeaderFields
from restwell.edge._pipeline import Edge
from restwell.edge._problem import error_response
from restwell.edge._request_id import RequestId
from restwell.edge._response_cache import CachedResponses, CacheLoads, ResponseCache
from restwell.edge._route import CachePolicy, Route
from restwell.edge._router import Router
from restwell.edge._routing import Routing
from restwell.edge._security_headers import SecurityHeaders
from restwell.errors import PROBLEMS, AppError, Invalid, NotFound


def read_filter(query: bytes) -> tuple[Mapping[str, Any], bytes] | None:
    """Knows ``limit``, with the default 20, and ``q``."""
    pairs = [
        (name, value) for name, value in parse_qsl(query.decode(), keep_blank_values=True) if name in {"limit", "q"}
    ]
    values = {"limit": "20", **dict(pairs)}
    if len({name for name, _ in pairs}) < len(pairs) or not values["limit"].isdecimal():
        return None
    return values, urlencode(
        {name: value for name, value in values.items() if (name, value) != ("limit", "20")}
    ).encode()


def policy(tag: str, *, client_seconds: int = 0, vary: tuple[bytes, ...] = (), has_filter: bool = False) -> CachePolicy:
    read_query = read_filter if has_filter else lambda _: ({}, b"")
    return CachePolicy(60, client_seconds, vary, lambda values: [tag.format_map(values)], read_query)


LANGUAGES = policy("all", client_seconds=10, vary=(b"accept-language",))
ROUTES = [
    Route(method="GET", path="/cached", cache=policy("list", has_filter=True)),
    Route(method="GET", path="/cached/{number}", path_types={"number": int}, cache=policy("one:{number}")),
    Route(method="GET", path="/cached/languages/{name}", path_types={"name": str}, cache=LANGUAGES),
    Route(method="GET", path="/cached/slow", cache=policy("slow"), timeout_seconds=0.5),
    Route(method="GET", path="/not-cached"),
]


class Application:
    """Responds with what it sees of the request. The number in the path selects the kind of the response."""

    def __init__(self) -> None:
        self.called = 0
        self.contexts: list[RequestContext] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = request_context(scope)
        number = context.path_parameters.get("number", 0)
        self.contexts.append(context)
        if scope["path"] == "/cached/slow":
            await asyncio.sleep(3)
        if number >= 500:
            status, headers, body = error_response(AppError(), context.request_id, PROBLEMS)
        elif number >= 400:
            status, headers, body = error_response(NotFound(), context.request_id, PROBLEMS)
        elif scope["path"] == "/cached" and read_filter(scope["query_string"]) is None:
            status, headers, body = error_response(Invalid(), context.request_id, PROBLEMS)
        else:
            self.called += 1
            status, headers, body = 200, [(b"content-type", b"application/json")], self._describe(scope, number)
            headers += {
                7: [(b"etag", b'"7"')],
                13: [(b"cache-control", b"private")],
                14: [(b"set-cookie", b"a=b")],
            }.get(number, [])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        assert (await receive())["type"] == "http.request"

    def _describe(self, scope: Scope, number: int) -> bytes:
        context = request_context(scope)
        return msgspec.json.encode(
            {
                "number": number,
                "called": self.called,
                "query": scope["query_string"].decode(),
                "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
                "context": {name.decode(): value.decode() for name, value in context.headers.items()},
                "client": scope["client"],
                "text": "text " * 400 * (number == 3),
            }
        )


class Served:
    """The application behind the edge, with a client."""

    def __init__(self, cache: Cache) -> None:
        self.cache, self.app, self.limiter = cache, Application(), ConcurrencyLimiter()
        security, self.later = SecurityHeaders(), Later()
        responses = ResponseCache(cache, self.app, self.limiter, [security], "1")
        hooks: list[Hook] = [RequestId(), security, HeaderFields(), CanonicalPath(), Routing(Router(ROUTES))]
        hooks += [CachedResponses(responses), self.later, Deadlines(5), CacheLoads(responses), self.limiter]
        transport = httpx.ASGITransport(Edge(self.app, hooks))
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://app.test", headers={"accept-encoding": "identity"}
        )


class Later(Hook):
    """Counts the requests that no cached response answers."""

    def __init__(self) -> None:
        self.seen = 0

    def admit(self, context: RequestContext) -> None:  # noqa: ARG002  # the signature of Hook
        self.seen += 1


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serving(**options: Any) -> AsyncIterator[Served]:
        cache = Cache(LocalStore(tmp_path, 1_000_000), max_bytes=1_000_000, **options)
        await cache.start()
        try:
            served = Served(cache)
            async with served.client:
                yield served
        finally:
            await cache.close()

    return serving


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as served:
        yield served


@pytest.fixture
def client(served: Served) -> httpx.AsyncClient:
    return served.client


def status_of(response: httpx.Response) -> str:
    return re.sub(r"\d+", "N", response.headers["cache-status"])


@pytest.mark.slow
async def test_the_second_response_comes_from_the_cache(client: httpx.AsyncClient) -> None:
    one, two = await client.get("/cached/1"), await client.get("/cached/1")
    assert one.json() == two.json()
    assert (status_of(one), status_of(two)) == ("restwell; fwd=miss", "restwell; hit; ttl=N")
    assert (one.headers.get("age"), two.headers["age"]) == (None, "0")
    assert two.headers["cache-control"] == "public, no-cache"
    assert two.headers["vary"] == "accept-encoding"
    assert two.headers["content-type"] == "application/json"
    assert two.headers["x-content-type-options"] == "nosniff"
    assert one.headers["x-request-id"] != two.headers["x-request-id"]
    await asyncio.sleep(1.1)
    three = await client.get("/cached/1")
    assert 1 <= int(three.headers["age"]) <= 2


async def test_a_cached_response_has_an_etag_and_is_not_sent_twice(client: httpx.AsyncClient) -> None:
    """Breaks when If-None-Match is compared with the whole header."""
    one = await client.get("/cached/1")
    tag = one.headers["etag"]
    assert re.fullmatch('"[0-9a-f]{24}"', tag)
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*", " * "):
        again = await client.get("/cached/1", headers={"if-none-match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        assert again.headers["cache-control"] == "public, no-cache"
    for other in ('"other"', tag.strip('"'), "", f'"1{tag[1:]}'):
        assert (await client.get("/cached/1", headers={"if-none-match": other})).status_code == 200
    assert (await client.get("/cached/2", headers={"if-none-match": tag})).status_code == 200, "on a miss as well"
    assert (await client.get("/cached/7")).headers["etag"] == '"7"', "the ETag of the handler is preserved"


@pytest.mark.parametrize("number", [1, 3], ids=["short", "long"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_cached_response_that_if_match_excludes_gets_a_412(
    client: httpx.AsyncClient, number: int, coding: str
) -> None:
    """Breaks when If-Match is ignored (RFC 9110 13.1.1), or compared with the entity tag of one content coding only."""
    path, accepted = f"/cached/{number}", {"accept-encoding": coding}
    tag = (await client.get(path)).headers["etag"]
    for expected in (tag, f"W/{tag}", f'"other", {tag}', "*", f'{tag[:-1]}-gzip"'):
        for method in ("GET", "HEAD"):
            assert (await client.request(method, path, headers={"if-match": expected, **accepted})).status_code == 200
        held = {"if-match": expected, "if-none-match": tag}
        assert (await client.get(path, headers=held)).status_code == 304, "If-None-Match is evaluated after If-Match"
    for other in ('"other"', tag.strip('"'), "", f'"1{tag[1:]}', '"-gzip"'):
        refused = await client.get(path, headers={"if-match": other, "if-none-match": "*", **accepted})
        assert_problem(refused, 412, "precondition_failed")
        assert refused.headers["cache-control"] == "no-store"
        assert (await client.head(path, headers={"if-match": other, **accepted})).status_code == 412
    assert_problem(await client.get("/cached/2", headers={"if-match": tag}), 412, "precondition_failed")
    assert (await client.get("/cached/404", headers={"if-match": tag})).status_code == 404, (
        "conditions do not apply to an error (RFC 9110 13.2.1)"
    )


async def test_head_of_a_cached_response_is_get_without_the_body(client: httpx.AsyncClient) -> None:
    for called in (1, 1):
        head, whole = await client.head("/cached/1"), await client.get("/cached/1")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]
        assert whole.json()["called"] == called


async def test_the_application_sees_only_the_parts_of_the_request_in_the_cache_key(client: httpx.AsyncClient) -> None:
    """Breaks when the first request is passed on unchanged: its cookie would affect the response to all clients."""
    first = await client.get(
        "/cached?evil=1&limit=5&q=a%20b&evil=2",
        headers={"authorization": "Bearer owner", "cookie": "who=me", "x-evil": "1"},
    )
    seen = first.json()
    assert (seen["query"], seen["headers"], seen["context"], seen["client"]) == ("limit=5&q=a+b", {}, {}, None)
    for query in ("limit=5&q=a+b", "limit=5&q=a%20b&x=9"):
        assert (await client.get(f"/cached?{query}")).json() == first.json(), query


async def test_the_application_does_not_see_the_context_of_a_client(served: Served) -> None:
    """Breaks when the load gets the context of the request that began it: its id would be in a shared response."""
    await served.client.get("/cached/1", headers={"x-request-id": "from-one-client"})
    await served.client.get("/not-cached", headers={"x-request-id": "from-one-client"})
    load, request = served.app.contexts
    assert (load.request_id, load.route, load.path_parameters) == ("the-id-of-this-request", ROUTES[1], {"number": 1})
    assert (request.request_id, request.route) == ("from-one-client", ROUTES[4])


async def test_defaults_and_unknown_parameters_do_not_change_the_cache_key(client: httpx.AsyncClient) -> None:
    """Breaks when the key contains the raw query: unknown parameters would fill the cache."""
    for query in ("", "?limit=20", "?junk=1", "?junk=2&limit=20"):
        assert (await client.get(f"/cached{query}")).json()["called"] == 1
    for number in range(20):
        assert (await client.get(f"/cached/9?junk={number}")).json()["called"] == 2


@pytest.mark.parametrize("query", ["limit=x", "limit=1&limit=2"])
async def test_an_invalid_query_is_refused_by_the_application_and_not_cached(
    client: httpx.AsyncClient, query: str
) -> None:
    for _ in range(2):
        response = await client.get(f"/cached?{query}")
        assert response.status_code == 422
        assert "cache-status" not in response.headers


async def test_a_long_body_is_compressed_once_for_clients_that_accept_it(client: httpx.AsyncClient) -> None:
    plain = await client.get("/cached/3")
    compressed = await client.get("/cached/3", headers={"accept-encoding": "br, gzip;q=0.5"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.json() == plain.json()
    assert int(compressed.headers["content-length"]) < len(plain.content) / 5
    assert "content-encoding" not in plain.headers
    assert compressed.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    held = {"if-none-match": compressed.headers["etag"], "accept-encoding": "gzip"}
    assert (await client.get("/cached/3", headers=held)).status_code == 304
    short = await client.get("/cached/1", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in short.headers


async def test_cached_responses_differ_by_the_headers_in_vary(client: httpx.AsyncClient) -> None:
    """Breaks when the cache key does not contain the header."""
    english, german = {"accept-language": "en"}, {"accept-language": "de"}
    one, two = [await client.get("/cached/languages/a", headers=headers) for headers in (english, german)]
    assert (one.json()["headers"], two.json()["headers"]) == ({"accept-language": "en"}, {"accept-language": "de"})
    assert (await client.get("/cached/languages/a", headers=english)).json() == one.json()
    assert one.headers["vary"] == "accept-encoding, accept-language"
    assert one.headers["cache-control"] == "public, max-age=10"


@pytest.mark.parametrize("number", [13, 14])
async def test_a_private_response_is_not_cached(client: httpx.AsyncClient, number: int) -> None:
    """Breaks when only the status decides about caching."""
    one, two = await client.get(f"/cached/{number}"), await client.get(f"/cached/{number}")
    assert (one.json()["called"], two.json()["called"]) == (1, 2)
    assert "public" not in two.headers["cache-control"]


async def test_a_cached_404_names_the_id_of_each_request(client: httpx.AsyncClient) -> None:
    """Breaks when a cached problem is sent unchanged: it would contain the id of another request."""
    for name, status in (("first-request", "restwell; fwd=miss"), ("second-request", "restwell; hit; ttl=N")):
        response = await client.get("/cached/404", headers={"x-request-id": name})
        assert_problem(response, 404, "not_found")
        assert response.json()["request_id"] == response.headers["x-request-id"] == name
        assert response.headers["content-length"] == str(len(response.content))
        assert status_of(response) == status
    held = await client.get("/cached/404", headers={"if-none-match": "*"})
    assert held.status_code == 404, "conditions do not apply to an error"


async def test_an_internal_error_is_not_cached(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        response = await client.get("/cached/500")
        assert_problem(response, 500, "internal_error")
        assert response.headers["cache-status"] == "restwell; fwd=miss"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.slow
async def test_a_load_ends_at_the_deadline_of_its_route(client: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(client.get("/cached/slow") for _ in range(3)))
    for response in responses:
        assert_problem(response, 503, "deadline_exceeded")


async def test_a_disabled_response_cache_answers_the_same_and_caches_nothing(serve: Serve) -> None:
    async with serve(enabled=False) as served:
        responses = [await served.client.get("/cached/1") for _ in range(2)]
        assert [response.json()["called"] for response in responses] == [1, 2]
        assert [status_of(response) for response in responses] == ["restwell; fwd=miss"] * 2
        held = {"if-none-match": (await served.client.get("/cached/7")).headers["etag"]}
        assert (await served.client.get("/cached/7", headers=held)).status_code == 304


async def test_an_invalidated_tag_removes_its_cached_responses(served: Served) -> None:
    for path, tag in (("/cached/1", "one:1"), ("/cached?q=x", "list"), ("/cached/404", "one:404")):
        await served.client.get(path)
        assert status_of(await served.client.get(path)) == "restwell; hit; ttl=N"
        await served.cache.invalidate_now("one:2")
        assert status_of(await served.client.get(path)) == "restwell; hit; ttl=N"
        await served.cache.invalidate_now(tag)
        assert status_of(await served.client.get(path)) == "restwell; fwd=miss"


async def test_a_hit_starts_no_deadline_and_takes_no_slot(served: Served) -> None:
    """Breaks when the cached responses come later in the list: hits would be refused under overload."""
    await served.client.get("/cached/1")
    while served.limiter.acquire_nowait("/"):
        pass
    assert (await served.client.get("/cached/1")).status_code == 200
    assert served.later.seen == 1
    assert_problem(await served.client.get("/cached/2"), 503, "overloaded")
    assert_problem(await served.client.get("/not-cached"), 503, "overloaded")
    assert served.app.called == 1


async def test_requests_that_wait_for_one_load_take_one_slot(served: Served) -> None:
    """Breaks when each takes one: three hundred requests for one resource would be an overload."""
    while served.limiter.acquire_nowait("/"):
        pass
    served.limiter.release()
    responses = await asyncio.gather(*(served.client.get("/cached/1") for _ in range(300)))
    assert {response.status_code for response in responses} == {200}
    assert served.app.called == 1
    assert served.limiter.acquire_nowait("/"), "the slot is released"


@pytest.mark.parametrize("path", ["/cached/01", "/cached/1/", "/cached/+1", "/cached/%31"])
async def test_other_spellings_of_a_path_create_no_other_cached_response(client: httpx.AsyncClient, path: str) -> None:
    await client.get("/cached/1")
    response = await client.get(path)
    assert "cache-status" not in response.headers or response.json()["called"] == 1


async def test_the_number_of_remembered_request_targets_is_bounded(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restwell.edge._response_cache.MAX_LOOKUPS", 3)
    monkeypatch.setattr("restwell.edge._response_cache.MAX_ENCODINGS", 3)
    assert (await client.get(f"/cached/1?{'x' * 2_000}")).status_code == 200
    for number in range(10):
        headers = {"accept-encoding": f"x-{number}"}
        assert (await client.get(f"/cached/1?x={number}", headers=headers)).json()["called"] == 1
