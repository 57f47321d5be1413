"""The response cache: complete responses of public routes. A hit is sent by the edge and never reaches the framework.

Follows RFC 9111 (Age, Cache-Control, Vary), RFC 9110 section 13 (ETag, If-None-Match) and RFC 9211 (Cache-Status).
Cache directives of the client are ignored, because a cached response is always what the origin would send.

A handler that fills the cache sees the path, the normalised query and the request headers in Vary. It sees nothing else
of the request, so that no data of one client reaches the response of another.
"""

import gzip
import re
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Struct

from restwell.cache import Cache
from restwell.cache._cache import MISSING_SECONDS
from restwell.cache._metrics import CacheStats
from restwell.edge._context import AsgiApp, Headers, Message, RequestContext, Response, Scope
from restwell.edge._problem import problem_response
from restwell.errors import PROBLEM_MEDIA_TYPE, PreconditionFailed
from restwell.rate_limits import Rate

MIN_COMPRESS_BYTES: Final = 1_000
MAX_LOOKUPS: Final = 4_096
"""The number of parsed request targets that are remembered; parsing one costs microseconds."""
MAX_LOOKUP_CHARS: Final = 1_024
"""A longer request target is not remembered. Only unknown query parameters make it that long."""
MAX_ENCODINGS: Final = 256
MAX_ACCEPT_ENCODING_BYTES: Final = 1_024
"""A longer Accept-Encoding is ignored; the response is not compressed."""
MAX_VARY_BYTES: Final = 200
FIRST_ERROR_STATUS: Final = 400
IDENTITY: Final = b""
GZIP: Final = b"gzip"

AddHeaders = Callable[[RequestContext, Headers], None]

_ENTITY_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')
_GZIP_SUFFIX: Final = b'-gzip"'
_MISS: Final[Headers] = [(b"cache-status", b"restwell; fwd=miss")]
"""Without Age, which would imply that the origin did not generate the response (RFC 9111 5.1)."""
_COMPRESSIBLE: Final = (b"application/json", b"text/", PROBLEM_MEDIA_TYPE.encode())
_PRIVATE: Final = (b"private", b"no-store")
_REPLACED: Final = frozenset({b"content-length", b"cache-control", b"etag", b"vary"})
_NOT_ON_304: Final = frozenset({b"content-type", b"content-encoding"})


class Variant:
    """A response in one content coding, ready to send.

    ``hit_headers`` are valid during ``hit_second``, a Unix timestamp.
    """

    __slots__ = ("body", "etag", "headers", "hit_headers", "hit_second", "not_modified")

    def __init__(self, headers: Headers, body: bytes, etag: bytes, not_modified: Headers) -> None:
        self.headers = headers
        self.body = body
        self.etag = etag
        self.not_modified = not_modified
        self.hit_headers: Headers = []
        self.hit_second = 0


class CachedResponse(Struct):
    """A response of the application.

    ``variants``, by content coding, are created on first use and not stored in level 2.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    created_at: float
    variants: dict[bytes, Any] = {}


class CachedRoute(Struct, frozen=True):
    """A public GET route.

    ``handler`` and the values from ``read_path`` are passed to the application in the ASGI scope, as ``route_handler``
    and ``path_params``, the keys that Litestar uses. ``read_query`` returns the values of the query and its normalised
    form, or None if the query is invalid. ``tags`` computes the cache tags from the values of path and query. Clients
    may use a response for ``client_seconds`` without revalidation.
    """

    template: str
    pattern: re.Pattern[str]
    handler: object
    read_path: Callable[[Mapping[str, str]], dict[str, Any]]
    read_query: Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]
    tags: Callable[[Mapping[str, Any]], Sequence[str]]
    ttl_seconds: float
    client_seconds: int
    vary: tuple[bytes, ...]
    rate: Rate | None = None


class CacheLookup(Struct, frozen=True):
    """A parsed request target, with its cache key and tags."""

    route: CachedRoute
    key: str
    parameters: dict[str, Any]
    query: bytes
    tags: tuple[str, ...]
    name: str
    varies: bool
    stats: CacheStats


class ResponseCache:
    """Caches the responses of the routes.

    ``version`` identifies the release: responses of other releases are not used.
    """

    def __init__(self, cache: Cache, routes: Sequence[CachedRoute], version: str) -> None:
        self._cache = cache
        self._routes = routes
        self._version = version
        self._lookups: dict[tuple[str, bytes], CacheLookup] = {}
        self._encodings: dict[bytes, bytes] = {}

    def lookup(self, scope: Scope) -> CacheLookup | None:
        """Parse the target of a GET or HEAD request; None if it is not cacheable."""
        target = (scope["path"], scope["query_string"])
        lookup = self._lookups.get(target)
        if lookup is None:
            lookup = self._parse(*target)
            if lookup is None:
                return None
            if len(self._lookups) >= MAX_LOOKUPS:
                self._lookups.clear()
            if len(scope["path"]) + len(scope["query_string"]) <= MAX_LOOKUP_CHARS:
                self._lookups[target] = lookup
        return lookup

    def get(self, lookup: CacheLookup, context: RequestContext) -> CachedResponse | None:
        """The response, if it is known to be current without I/O; else None."""
        key = _cache_key(lookup, context) if lookup.varies else lookup.key
        cached: CachedResponse | None = self._cache.get_nowait(key, lookup.stats, time.time())
        if cached is not None:
            context.scope["path_template"] = lookup.route.template
        return cached

    async def get_or_load(self, lookup: CacheLookup, context: RequestContext, app: AsgiApp) -> CachedResponse:
        """The response, from the cache or the application. Concurrent requests share one call of the application."""
        context.scope["path_template"] = lookup.route.template
        return await self._cache.get_or_load(
            _cache_key(lookup, context),
            lambda: _call_app(app, context, lookup),
            kind=CachedResponse,
            tags=lookup.tags,
            ttl_seconds=lambda cached: _ttl_seconds(cached, lookup.route),
            name=lookup.name,
        )

    def render(
        self,
        cached: CachedResponse,
        lookup: CacheLookup,
        context: RequestContext,
        add_headers: AddHeaders,
        *,
        may_be_new: bool = False,
    ) -> Response:
        """The response to this request: the variant that it accepts, 304, or 412. ``add_headers`` adds the cacheable
        headers of the hooks.

        ``may_be_new``: the application may have been called for this request.
        """
        sent = context.headers
        accept_encoding = sent.get(b"accept-encoding")
        if_none_match, if_match = sent.get(b"if-none-match"), sent.get(b"if-match")
        encoding = self._encoding(accept_encoding) if accept_encoding is not None else IDENTITY
        variant: Variant | None = cached.variants.get(encoding)
        if variant is None:
            variant = cached.variants[encoding] = _variant(
                cached, lookup.route, encoding, lambda headers: add_headers(context, headers)
            )
        if if_match is not None and cached.status < FIRST_ERROR_STATUS and not _if_match_holds(if_match, variant.etag):
            status, headers, body = problem_response(PreconditionFailed(), context.request_id)
            add_headers(context, headers)
            return status, headers, body
        now = time.time()
        if may_be_new and now - cached.created_at <= time.perf_counter() - context.started_at:
            cache_headers = _MISS
        elif variant.hit_second == int(now):
            cache_headers = variant.hit_headers
        else:
            variant.hit_second = int(now)
            cache_headers = variant.hit_headers = _hit_headers(cached, lookup.route, now)
        if (
            if_none_match is not None
            and cached.status < FIRST_ERROR_STATUS
            and _etag_listed(if_none_match, variant.etag)
        ):
            return 304, variant.not_modified + cache_headers, b""
        if cached.status >= FIRST_ERROR_STATUS:
            return _with_request_id(cached, variant, cache_headers, context.request_id)
        return cached.status, variant.headers + cache_headers, variant.body

    def _parse(self, path: str, query_string: bytes) -> CacheLookup | None:
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is not None:
                read = route.read_query(query_string)
                if read is None:
                    return None
                values, query = read
                tags = tuple(route.tags({**match.groupdict(), **values}))
                name = f"GET {route.template}"
                key = f"{name} {path}?{query.decode()} {self._version}"
                parameters = route.read_path(match.groupdict())
                stats = self._cache.metrics.stats[name]
                return CacheLookup(route, key, parameters, query, tags, name, bool(route.vary), stats)
        return None

    def _encoding(self, accept_encoding: bytes) -> bytes:
        encoding = self._encodings.get(accept_encoding)
        if encoding is None:
            encoding = _negotiate_encoding(accept_encoding)
            if len(self._encodings) >= MAX_ENCODINGS:
                self._encodings.clear()
            if len(accept_encoding) <= MAX_VARY_BYTES:
                self._encodings[accept_encoding] = encoding
        return encoding


def _cache_key(lookup: CacheLookup, context: RequestContext) -> str:
    sent = context.headers
    return lookup.key + "".join(f" {sent.get(name, b'')[:MAX_VARY_BYTES]!r}" for name in lookup.route.vary)


async def _call_app(app: AsgiApp, context: RequestContext, lookup: CacheLookup) -> CachedResponse:
    """Call the application with a scope that contains nothing specific to this client."""
    original = context.scope
    scope: Scope = {
        **original,
        "method": "GET",
        "query_string": lookup.query,
        "headers": [
            (name, value[:MAX_VARY_BYTES]) for name, value in context.headers.items() if name in lookup.route.vary
        ],
        "state": dict(original.get("state") or {}),
        "route_handler": lookup.route.handler,
        "path_params": lookup.parameters,
    }
    status = 0
    headers: Headers = []
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    original["route_handler"] = lookup.route.handler
    return CachedResponse(status, headers, b"".join(parts), time.time())


def _ttl_seconds(cached: CachedResponse, route: CachedRoute) -> float:
    """0 if the response must not be cached. A 404 is cached for at most MISSING_SECONDS."""
    if cached.status == 404:
        return min(route.ttl_seconds, MISSING_SECONDS)
    return route.ttl_seconds if cached.status == 200 and not _is_private(cached) else 0.0


def _is_private(cached: CachedResponse) -> bool:
    """Whether the response sets a cookie, or its Cache-Control forbids shared caching."""
    return any(
        name == b"set-cookie" or (name == b"cache-control" and any(word in value for word in _PRIVATE))
        for name, value in cached.headers
    )


def _variant(
    cached: CachedResponse, route: CachedRoute, encoding: bytes, add_headers: Callable[[Headers], None]
) -> Variant:
    original = dict(cached.headers)
    etag = original.get(b"etag") or b'"%s"' % blake2b(cached.body, digest_size=12).hexdigest().encode()
    body = cached.body
    headers = [(name, value) for name, value in cached.headers if name not in _REPLACED]
    compressible = original.get(b"content-type", b"").startswith(_COMPRESSIBLE)
    if encoding == GZIP and len(body) >= MIN_COMPRESS_BYTES and compressible:
        body = gzip.compress(body, mtime=0)
        etag = etag[:-1] + _GZIP_SUFFIX
        headers.append((b"content-encoding", GZIP))
    if cached.status < FIRST_ERROR_STATUS:
        cache_control = b"public, max-age=%d" % route.client_seconds if route.client_seconds else b"public, no-cache"
        if _is_private(cached):
            cache_control = original.get(b"cache-control", b"no-store")
        headers += [(b"etag", etag), (b"cache-control", cache_control)]
    headers.append((b"vary", b", ".join((b"accept-encoding", *route.vary))))
    add_headers(headers)
    not_modified = [header for header in headers if header[0] not in _NOT_ON_304]
    if cached.status < FIRST_ERROR_STATUS:
        headers.append((b"content-length", str(len(body)).encode()))
    return Variant(headers, body, etag, not_modified)


def _hit_headers(cached: CachedResponse, route: CachedRoute, now: float) -> Headers:
    age = max(0, int(now - cached.created_at))
    ttl = max(0, int(route.ttl_seconds) - age)
    return [(b"cache-status", b"restwell; hit; ttl=%d" % ttl), (b"age", b"%d" % age)]


def _etag_listed(if_none_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.2: weak comparison with each listed entity tag; * matches any."""
    return if_none_match.strip() == b"*" or etag in _ENTITY_TAG.findall(if_none_match)


def _if_match_holds(if_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.1, evaluated before If-None-Match (13.2.2). The content coding is ignored (decision 23)."""
    return _etag_listed(if_match.replace(_GZIP_SUFFIX, b'"'), etag.replace(_GZIP_SUFFIX, b'"'))


def _negotiate_encoding(accept_encoding: bytes) -> bytes:
    """RFC 9110 12.5.3: gzip if it, or *, is accepted with a weight above 0."""
    if len(accept_encoding) > MAX_ACCEPT_ENCODING_BYTES:
        return IDENTITY
    accepted = {}
    for part in accept_encoding.lower().split(b","):
        encoding, _, parameters = part.partition(b";")
        weight = parameters.strip().removeprefix(b"q=")
        is_zero = parameters.strip().startswith(b"q=") and weight.rstrip(b"0") in {b"", b"0", b"0."}
        accepted[encoding.strip()] = not is_zero
    return GZIP if accepted.get(GZIP, accepted.get(b"*", False)) else IDENTITY


def _with_request_id(cached: CachedResponse, variant: Variant, cache_headers: Headers, request_id: str) -> Response:
    """A problem contains the id of the request that it responds to."""
    body = cached.body
    if (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in cached.headers:
        body = msgspec.json.encode({**msgspec.json.decode(cached.body), "request_id": request_id})
    return cached.status, [*variant.headers, *cache_headers, (b"content-length", str(len(body)).encode())], body
