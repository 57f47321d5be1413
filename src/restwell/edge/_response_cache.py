"""The response cache: complete responses of public routes. A hit is sent by the edge and never reaches the framework.

Follows RFC 9111 (Age, Cache-Control, Vary), RFC 9110 section 13 (ETag, If-None-Match) and RFC 9211 (Cache-Status).
Cache directives of the client are ignored, because a cached response is always what the origin would send.

The application that fills the cache sees the path, the normalised query and the request headers in Vary, and nothing
else of the request, so that no data of one client reaches the response of another.
"""

import gzip
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct

from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import (
    SCOPE_KEY,
    AsgiApp,
    Headers,
    Hook,
    Message,
    RequestContext,
    Response,
    Scope,
    new_context,
)
from restwell.edge._route import CachePolicy, Route
from restwell.errors import PROBLEM_MEDIA_TYPE, PreconditionFailed

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

MISSING_SECONDS: Final = 5.0
"""How long a 404 is cached at most."""
REQUEST_ID: Final = "the-id-of-this-request"
"""Stands for the request id in the cached body of an error."""

T = TypeVar("T")

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


class CacheMetrics(Protocol):
    @property
    def stats(self) -> Mapping[str, Any]:
        """The counters of each name, created on first use."""


class Cache(Protocol):
    """A cache that never returns a value older than the last acknowledged write to one of its tags."""

    @property
    def metrics(self) -> CacheMetrics: ...
    def get_nowait(self, key: str, stats: Any, now: float) -> Any:
        """The value, if it is known to be current without I/O; else None."""

    async def get_or_load(
        self,
        key: str,
        load: Callable[[], Awaitable[T]],
        *,
        kind: Any,
        tags: Sequence[str],
        ttl_seconds: Callable[[T], float],
        name: str,
    ) -> T:
        """The value, from the cache or ``load``. Concurrent callers share one load."""


class CacheLookup(Struct, frozen=True):
    """A parsed request target, with its cache key and tags."""

    policy: CachePolicy
    key: str
    query: bytes
    tags: tuple[str, ...]
    name: str
    stats: Any


class ResponseCache:
    """What the hooks CachedResponses and CacheLoads share.

    ``limiter`` limits the loads: each takes a slot, and the requests that wait for it take none. ``prepared`` are the
    hooks with cacheable headers. ``version`` identifies the release: responses of other releases are not used.
    """

    def __init__(
        self, cache: Cache, app: AsgiApp, limiter: ConcurrencyLimiter, prepared: Sequence[Hook], version: str
    ) -> None:
        self._cache = cache
        self._app = app
        self._limiter = limiter
        self._prepare = [hook.on_response for hook in prepared]
        self._version = version
        self._lookups: dict[tuple[str, bytes], CacheLookup] = {}
        self._encodings: dict[bytes, bytes] = {}

    def get_nowait(self, context: RequestContext, route: Route, policy: CachePolicy) -> None:
        """Respond if the response is known to be current without I/O; else set ``cache_lookup``.

        Does neither if the query is invalid: the application responds with the error. Raises PreconditionFailed.
        """
        scope = context.scope
        target = (scope["path"], scope["query_string"])
        lookup = self._lookups.get(target)
        if lookup is None:
            lookup = self._parse(context, route, policy)
            if lookup is None:
                return
            self._remember(target, lookup)
        key = _cache_key(lookup, context) if policy.vary else lookup.key
        now = time.time()
        cached: CachedResponse | None = self._cache.get_nowait(key, lookup.stats, now)
        if cached is None:
            context.cache_lookup = lookup
        else:
            self.respond(cached, lookup, context, now)

    async def get_or_load(self, lookup: CacheLookup, context: RequestContext) -> CachedResponse:
        """The response, from the cache or the application. Concurrent requests share one call of the application."""
        return await self._cache.get_or_load(
            _cache_key(lookup, context),
            lambda: self._load(lookup, context),
            kind=CachedResponse,
            tags=lookup.tags,
            ttl_seconds=lambda cached: _ttl_seconds(cached, lookup.policy),
            name=lookup.name,
        )

    def respond(
        self,
        cached: CachedResponse,
        lookup: CacheLookup,
        context: RequestContext,
        now: float,
        *,
        may_be_new: bool = False,
    ) -> None:
        """Set the response to this request: the variant that it accepts, or 304. Raises PreconditionFailed.

        ``may_be_new``: the application may have been called for this request.
        """
        sent = context.headers
        accept_encoding = sent.get(b"accept-encoding")
        if_none_match, if_match = sent.get(b"if-none-match"), sent.get(b"if-match")
        encoding = self._encoding(accept_encoding) if accept_encoding is not None else IDENTITY
        variant: Variant | None = cached.variants.get(encoding)
        if variant is None:
            variant = cached.variants[encoding] = _variant(
                cached, lookup.policy, encoding, lambda headers: self._add_headers(context, headers)
            )
        is_error = cached.status >= FIRST_ERROR_STATUS
        if if_match is not None and not is_error and not _if_match_holds(if_match, variant.etag):
            raise PreconditionFailed
        if may_be_new and now - cached.created_at <= time.perf_counter() - context.started_at:
            cache_headers = _MISS
        elif variant.hit_second == int(now):
            cache_headers = variant.hit_headers
        else:
            variant.hit_second = int(now)
            cache_headers = variant.hit_headers = _hit_headers(cached, lookup.policy, now)
        context.is_prepared = True
        if is_error:
            context.response = _with_request_id(cached, variant, cache_headers, context.request_id)
        elif if_none_match is not None and _etag_listed(if_none_match, variant.etag):
            context.response = 304, variant.not_modified + cache_headers, b""
        else:
            context.response = cached.status, variant.headers + cache_headers, variant.body

    def _remember(self, target: tuple[str, bytes], lookup: CacheLookup) -> None:
        if len(self._lookups) >= MAX_LOOKUPS:
            self._lookups.clear()
        if len(target[0]) + len(target[1]) <= MAX_LOOKUP_CHARS:
            self._lookups[target] = lookup

    def _parse(self, context: RequestContext, route: Route, policy: CachePolicy) -> CacheLookup | None:
        read = policy.read_query(context.scope["query_string"])
        if read is None:
            return None
        values, query = read
        name = f"GET {route.path}"
        return CacheLookup(
            policy,
            key=f"{name} {context.scope['path']}?{query.decode()} {self._version}",
            query=query,
            tags=tuple(policy.tags({**context.path_parameters, **values})),
            name=name,
            stats=self._cache.metrics.stats[name],
        )

    async def _load(self, lookup: CacheLookup, context: RequestContext) -> CachedResponse:
        if not self._limiter.acquire_nowait(context.scope["path"]):
            await self._limiter.acquire(context.scope)
        try:
            return await _call_app(self._app, context, lookup)
        finally:
            self._limiter.release()

    def _add_headers(self, context: RequestContext, headers: Headers) -> None:
        for on_response in self._prepare:
            on_response(context, headers)

    def _encoding(self, accept_encoding: bytes) -> bytes:
        encoding = self._encodings.get(accept_encoding)
        if encoding is None:
            encoding = _negotiate_encoding(accept_encoding)
            if len(self._encodings) >= MAX_ENCODINGS:
                self._encodings.clear()
            if len(accept_encoding) <= MAX_VARY_BYTES:
                self._encodings[accept_encoding] = encoding
        return encoding


class CachedResponses(Hook):
    """Answers a request whose response is cached and known to be current without I/O."""

    def __init__(self, responses: ResponseCache) -> None:
        self._get_nowait = responses.get_nowait

    def admit(self, context: RequestContext) -> None:
        """Raises PreconditionFailed."""
        route = context.route
        if route is not None and route.cache is not None:
            self._get_nowait(context, route, route.cache)


class CacheLoads(Hook):
    """Answers the other requests for cached routes, through the cache."""

    def __init__(self, responses: ResponseCache) -> None:
        self._responses = responses

    def admit(self, context: RequestContext) -> Awaitable[None] | None:
        """Raises PreconditionFailed, and the errors of the cache."""
        lookup: CacheLookup | None = context.cache_lookup
        return self._respond(context, lookup) if lookup is not None else None

    async def _respond(self, context: RequestContext, lookup: CacheLookup) -> None:
        cached = await self._responses.get_or_load(lookup, context)
        self._responses.respond(cached, lookup, context, time.time(), may_be_new=True)


def _cache_key(lookup: CacheLookup, context: RequestContext) -> str:
    sent = context.headers
    return lookup.key + "".join(f" {sent.get(name, b'')[:MAX_VARY_BYTES]!r}" for name in lookup.policy.vary)


async def _call_app(app: AsgiApp, context: RequestContext, lookup: CacheLookup) -> CachedResponse:
    """Call the application with a scope and a context that contain nothing specific to this client."""
    original = context.scope
    scope: Scope = {
        **original,
        "method": "GET",
        "query_string": lookup.query,
        "headers": [
            (name, value[:MAX_VARY_BYTES]) for name, value in context.headers.items() if name in lookup.policy.vary
        ],
        "client": None,
        "state": dict(original.get("state") or {}),
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

    scope[SCOPE_KEY] = own = new_context(scope, receive)
    own.request_id, own.route, own.path_parameters = REQUEST_ID, context.route, context.path_parameters
    try:
        await app(scope, receive, send)
    finally:
        del scope[SCOPE_KEY]  # breaks the reference cycle between scope and context
    return CachedResponse(status, headers, b"".join(parts), time.time())


def _ttl_seconds(cached: CachedResponse, policy: CachePolicy) -> float:
    """0 if the response must not be cached. A 404 is cached for at most MISSING_SECONDS."""
    if cached.status == 404:
        return min(policy.ttl_seconds, MISSING_SECONDS)
    return policy.ttl_seconds if cached.status == 200 and not _is_private(cached) else 0.0


def _is_private(cached: CachedResponse) -> bool:
    """Whether the response sets a cookie, or its Cache-Control forbids shared caching."""
    return any(
        name == b"set-cookie" or (name == b"cache-control" and any(word in value for word in _PRIVATE))
        for name, value in cached.headers
    )


def _variant(
    cached: CachedResponse, policy: CachePolicy, encoding: bytes, add_headers: Callable[[Headers], None]
) -> Variant:
    original = dict(cached.headers)
    etag = original.get(b"etag") or b'"%s"' % blake2b(cached.body, digest_size=12).hexdigest().encode()
    body = cached.body
    headers = [(name, value) for name, value in cached.headers if name not in _REPLACED]
    compressible = original.get(b"content-type", b"").startswith(_COMPRESSIBLE)
    is_error = cached.status >= FIRST_ERROR_STATUS
    if encoding == GZIP and len(body) >= MIN_COMPRESS_BYTES and compressible and not is_error:
        body = gzip.compress(body, mtime=0)
        etag = etag[:-1] + _GZIP_SUFFIX
        headers.append((b"content-encoding", GZIP))
    if not is_error:
        cache_control = b"public, max-age=%d" % policy.client_seconds if policy.client_seconds else b"public, no-cache"
        if _is_private(cached):
            cache_control = original.get(b"cache-control", b"no-store")
        headers += [(b"etag", etag), (b"cache-control", cache_control)]
    headers.append((b"vary", b", ".join((b"accept-encoding", *policy.vary))))
    add_headers(headers)
    not_modified = [header for header in headers if header[0] not in _NOT_ON_304]
    if not is_error:
        headers.append((b"content-length", str(len(body)).encode()))
    return Variant(headers, body, etag, not_modified)


def _hit_headers(cached: CachedResponse, policy: CachePolicy, now: float) -> Headers:
    age = max(0, int(now - cached.created_at))
    ttl = max(0, int(policy.ttl_seconds) - age)
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
    """An error contains the id of the request that it responds to."""
    body = cached.body.replace(REQUEST_ID.encode(), request_id.encode())
    return cached.status, [*variant.headers, *cache_headers, (b"content-length", str(len(body)).encode())], body
