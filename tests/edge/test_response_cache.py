"""The response cache: its headers for clients and intermediaries, and the responses that must not be shared."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest
from msgspec import Struct

from api_client import assert_problem
from restwell import App, Restwell
from restwell.cache import Cache
from restwell.edge._response_cache import CachedResponse, ResponseCache
from restwell.errors import NotFound
from restwell.pages import PageFilter
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import ApiRequest, Controller, FromPath, Inject, Response, Version, get, public, signed_in
from tiny.app import authenticate


class Filter(PageFilter, frozen=True, kw_only=True):
    q: str | None = None


class Seen(Struct, frozen=True):
    number: int
    called: int
    query: str
    headers: dict[str, str]
    text: str = ""


class CachedController(Controller):
    path = "/cached"
    called = 0

    @get(cached=public(ttl_seconds=60, tags=["list"]))
    async def list_cached(self, request: ApiRequest, filters: Inject[Filter]) -> Seen:
        """List."""
        return self._seen(request, filters.limit)

    @get("/{number:int}", cached=public(ttl_seconds=60, tags=["one:{number}"]))
    async def get_cached(self, request: ApiRequest, number: FromPath[int]) -> Response[Seen]:
        """Read one."""
        if number >= 500:
            raise ValueError(number)
        if number >= 400:
            raise NotFound
        headers = {"etag": f'"{number}"'} if number == 7 else {}
        if number == 13:
            headers["cache-control"] = "private"
        if number == 14:
            headers["set-cookie"] = "who=me"
        return Response(self._seen(request, number), headers=headers)

    @get(
        "/languages/{name:str}",
        cached=public(ttl_seconds=60, client_seconds=10, tags=["all"], vary=["Accept-Language"]),
    )
    async def get_varied(self, request: ApiRequest, name: FromPath[str]) -> Seen:
        """Read one in a language."""
        return self._seen(request, len(name))

    @get("/slow", cached=public(ttl_seconds=60, tags=["slow"]))
    async def get_slowly(self) -> str:
        """Take longer than the timeout."""
        await asyncio.sleep(3)
        return "slow"

    def _seen(self, request: ApiRequest, number: int) -> Seen:
        type(self).called += 1
        query = request.scope["query_string"].decode()
        return Seen(number, type(self).called, query, dict(request.headers), "text " * 400 * (number == 3))


@pytest.fixture
def make_app(tiny_settings: Settings) -> Callable[..., tuple[App, Cache]]:
    def make(**options: object) -> tuple[App, Cache]:
        CachedController.called = 0
        kit = Restwell(tiny_settings.model_copy(update=options), name="cached")
        app = kit.app(
            version="1",
            description="",
            versions=[Version("/v1", [CachedController])],
            provide=[],
            authenticate=authenticate,
        )
        return app, kit.cache

    return make


@pytest.fixture
async def client(make_app: Callable[..., tuple[App, Cache]]) -> AsyncIterator[httpx.AsyncClient]:
    async with running(make_app()[0]) as connected:
        connected.headers["accept-encoding"] = "identity"
        yield connected


def status_of(response: httpx.Response) -> str:
    return re.sub(r"\d+", "N", response.headers["cache-status"])


async def test_the_second_response_comes_from_the_cache(client: httpx.AsyncClient) -> None:
    one, two = await client.get("/v1/cached/1"), await client.get("/v1/cached/1")
    assert one.json() == two.json()
    assert (status_of(one), status_of(two)) == ("restwell; fwd=miss", "restwell; hit; ttl=N")
    assert (one.headers.get("age"), two.headers["age"]) == (None, "0")
    assert two.headers["cache-control"] == "public, no-cache"
    assert two.headers["vary"] == "accept-encoding"
    assert two.headers["content-type"] == "application/json"
    assert two.headers["x-content-type-options"] == "nosniff"
    assert one.headers["x-request-id"] != two.headers["x-request-id"]
    await asyncio.sleep(1.1)
    three = await client.get("/v1/cached/1")
    assert 1 <= int(three.headers["age"]) <= 2


async def test_a_cached_response_has_an_etag_and_is_not_sent_twice(client: httpx.AsyncClient) -> None:
    """Breaks when If-None-Match is compared with the whole header."""
    one = await client.get("/v1/cached/1")
    tag = one.headers["etag"]
    assert re.fullmatch('"[0-9a-f]{24}"', tag)
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*", " * "):
        again = await client.get("/v1/cached/1", headers={"if-none-match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        assert again.headers["cache-control"] == "public, no-cache"
    for other in ('"other"', tag.strip('"'), "", f'"1{tag[1:]}'):
        assert (await client.get("/v1/cached/1", headers={"if-none-match": other})).status_code == 200
    assert (await client.get("/v1/cached/2", headers={"if-none-match": tag})).status_code == 200, "on a miss as well"
    assert (await client.get("/v1/cached/7")).headers["etag"] == '"7"', "the ETag of the handler is preserved"


@pytest.mark.parametrize("number", [1, 3], ids=["short", "long"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_cached_response_that_if_match_excludes_gets_a_412(
    client: httpx.AsyncClient, number: int, coding: str
) -> None:
    """Breaks when If-Match is ignored (RFC 9110 13.1.1), or compared with the entity tag of one content coding only."""
    path, accepted = f"/v1/cached/{number}", {"accept-encoding": coding}
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
    assert_problem(await client.get("/v1/cached/2", headers={"if-match": tag}), 412, "precondition_failed")
    assert (await client.get("/v1/cached/404", headers={"if-match": tag})).status_code == 404, (
        "conditions do not apply to an error (RFC 9110 13.2.1)"
    )


async def test_head_of_a_cached_response_is_get_without_the_body(client: httpx.AsyncClient) -> None:
    for called in (1, 1):
        head, whole = await client.head("/v1/cached/1"), await client.get("/v1/cached/1")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]
        assert whole.json()["called"] == called


async def test_a_cached_handler_sees_only_the_parts_of_the_request_in_the_cache_key(client: httpx.AsyncClient) -> None:
    """Breaks when the first request is passed on unchanged: its cookie would affect the response to all clients."""
    first = await client.get(
        "/v1/cached?evil=1&limit=5&q=a%20b&evil=2",
        headers={"authorization": "Bearer owner", "cookie": "who=me", "x-evil": "1"},
    )
    assert (first.json()["query"], first.json()["headers"]) == ("limit=5&q=a+b", {})
    for query in ("limit=5&q=a+b", "q=a+b&limit=5", "limit=5&q=a%20b&x=9"):
        assert (await client.get(f"/v1/cached?{query}")).json() == first.json(), query


async def test_defaults_and_unknown_parameters_do_not_change_the_cache_key(client: httpx.AsyncClient) -> None:
    """Breaks when the key contains the raw query: unknown parameters would fill the cache."""
    for query in ("", "?limit=20", "?junk=1", "?junk=2&limit=20"):
        assert (await client.get(f"/v1/cached{query}")).json()["called"] == 1
    for number in range(20):
        assert (await client.get(f"/v1/cached/9?junk={number}")).json()["called"] == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1&limit=2", "q=%FF"])
async def test_an_invalid_query_is_refused_by_the_handler_and_not_cached(client: httpx.AsyncClient, query: str) -> None:
    for _ in range(2):
        response = await client.get(f"/v1/cached?{query}")
        assert response.status_code in {400, 422}
        assert "cache-status" not in response.headers


async def test_a_long_body_is_compressed_once_for_clients_that_accept_it(client: httpx.AsyncClient) -> None:
    plain = await client.get("/v1/cached/3")
    compressed = await client.get("/v1/cached/3", headers={"accept-encoding": "br, gzip;q=0.5"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.json() == plain.json()
    assert int(compressed.headers["content-length"]) < len(plain.content) / 5
    assert "content-encoding" not in plain.headers
    assert compressed.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    held = {"if-none-match": compressed.headers["etag"], "accept-encoding": "gzip"}
    assert (await client.get("/v1/cached/3", headers=held)).status_code == 304
    short = await client.get("/v1/cached/1", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"*", b"gzip"),
        (b"GZIP;q=1.0", b"gzip"),
        (b"gzip; q=0.001", b"gzip"),
        (b"gzip;q=0", b""),
        (b"gzip;q=0.000, *", b""),
        (b"br, deflate", b""),
        (b"identity", b""),
        (b"", b""),
        (b"*;q=0", b""),
        (b"gzip" + b"," * 1_020, b"gzip"),
        (b"gzip" + b"," * 1_021, b""),  # longer than MAX_ACCEPT_ENCODING_BYTES
    ],
)
def test_the_content_coding_is_negotiated(
    accepted: bytes, coding: bytes, make_app: Callable[..., tuple[App, Cache]]
) -> None:
    assert ResponseCache(make_app()[1], [], "1")._encoding(accepted) == coding


async def test_cached_responses_differ_by_the_headers_in_vary(client: httpx.AsyncClient) -> None:
    """Breaks when the cache key does not contain the header."""
    english, german = {"accept-language": "en"}, {"accept-language": "de"}
    one, two = [await client.get("/v1/cached/languages/a", headers=headers) for headers in (english, german)]
    assert (one.json()["headers"], two.json()["headers"]) == ({"accept-language": "en"}, {"accept-language": "de"})
    assert (await client.get("/v1/cached/languages/a", headers=english)).json() == one.json()
    assert one.headers["vary"] == "accept-encoding, accept-language"
    assert one.headers["cache-control"] == "public, max-age=10"


@pytest.mark.parametrize("number", [13, 14])
async def test_a_private_response_is_not_cached(client: httpx.AsyncClient, number: int) -> None:
    """Breaks when only the status decides about caching."""
    one, two = await client.get(f"/v1/cached/{number}"), await client.get(f"/v1/cached/{number}")
    assert (one.json()["called"], two.json()["called"]) == (1, 2)
    assert "public" not in two.headers["cache-control"]


async def test_a_cached_404_names_the_id_of_each_request(client: httpx.AsyncClient) -> None:
    """Breaks when a cached problem is sent unchanged: it would contain the id of another request."""
    for name, status in (("first-request", "restwell; fwd=miss"), ("second-request", "restwell; hit; ttl=N")):
        response = await client.get("/v1/cached/404", headers={"x-request-id": name})
        assert_problem(response, 404, "not_found")
        assert response.json()["request_id"] == response.headers["x-request-id"] == name
        assert response.headers["content-length"] == str(len(response.content))
        assert status_of(response) == status
    held = await client.get("/v1/cached/404", headers={"if-none-match": "*"})
    assert held.status_code == 404, "conditions do not apply to an error"


async def test_an_internal_error_is_not_cached(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        response = await client.get("/v1/cached/500")
        assert_problem(response, 500, "internal_error")
        assert response.headers["cache-status"] == "restwell; fwd=miss"
        assert response.headers["cache-control"] == "no-store"


async def test_a_cached_route_ends_at_its_deadline(
    make_app: Callable[..., tuple[App, Cache]], tiny_settings: Settings
) -> None:
    limits = tiny_settings.request.model_copy(update={"timeout_seconds": 0.5})
    async with running(make_app(request=limits)[0]) as client:
        responses = await asyncio.gather(*(client.get("/v1/cached/slow") for _ in range(3)))
        for response in responses:
            assert_problem(response, 503, "deadline_exceeded")


async def test_a_disabled_response_cache_answers_the_same_and_caches_nothing(
    make_app: Callable[..., tuple[App, Cache]],
) -> None:
    async with running(make_app(cache="off")[0]) as client:
        responses = [await client.get("/v1/cached/1") for _ in range(2)]
        assert [response.json()["called"] for response in responses] == [1, 2]
        assert [status_of(response) for response in responses] == ["restwell; fwd=miss"] * 2
        held = {"if-none-match": (await client.get("/v1/cached/7")).headers["etag"]}
        assert (await client.get("/v1/cached/7", headers=held)).status_code == 304


async def test_an_invalidated_tag_removes_its_cached_responses(make_app: Callable[..., tuple[App, Cache]]) -> None:
    app, cache = make_app()
    async with running(app) as client:
        for path, tag in (("/v1/cached/1", "one:1"), ("/v1/cached?q=x", "list"), ("/v1/cached/404", "one:404")):
            await client.get(path)
            assert status_of(await client.get(path)) == "restwell; hit; ttl=N"
            await cache.invalidate_now("one:2")
            assert status_of(await client.get(path)) == "restwell; hit; ttl=N"
            await cache.invalidate_now(tag)
            assert status_of(await client.get(path)) == "restwell; fwd=miss"


@pytest.mark.parametrize("path", ["/v1/cached/01", "/v1/cached/1/", "/v1/cached/+1", "/v1/cached/%31"])
async def test_other_spellings_of_a_path_create_no_other_cached_response(client: httpx.AsyncClient, path: str) -> None:
    await client.get("/v1/cached/1")
    response = await client.get(path)
    assert "cache-status" not in response.headers or response.json()["called"] == 1


async def test_the_number_of_remembered_request_targets_is_bounded(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restwell.edge._response_cache.MAX_LOOKUPS", 3)
    monkeypatch.setattr("restwell.edge._response_cache.MAX_ENCODINGS", 3)
    assert (await client.get(f"/v1/cached/1?{'x' * 2_000}")).status_code == 200
    for number in range(10):
        headers = {"accept-encoding": f"x-{number}"}
        assert (await client.get(f"/v1/cached/1?x={number}", headers=headers)).json()["called"] == 1


def test_a_guarded_route_cannot_be_declared_public(tiny_settings: Settings) -> None:
    """Breaks without the check: all clients would get the response to one user."""

    class Guarded(Controller):
        @get("/mine", guards=[signed_in], cached=public(ttl_seconds=60, tags=["mine"]))
        async def get_mine(self) -> str:
            """Read mine."""
            return "mine"

    kit = Restwell(tiny_settings, name="guarded")
    with pytest.raises(TypeError, match="cannot be cached"):
        kit.app(
            version="1",
            description="",
            versions=[Version("/v1", [Guarded])],
            provide=[],
            authenticate=authenticate,
        )


def test_a_cached_response_survives_serialization() -> None:
    response = CachedResponse(200, [(b"a", b"b")], gzip.compress(json.dumps("x").encode()), 1.5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(response), type=CachedResponse) == response
