"""The response cache: complete responses of public routes. A hit is sent by the edge and never reaches the framework.

Follows RFC 9111 (Age, Cache-Control, Vary), RFC 9110 section 13 (ETag, If-None-Match) and RFC 9211 (Cache-Status).
Cache directives of the client are ignored, because a cached response is always what the origin would send.

The application that fills the cache sees the path, the normalised query and the request headers in Vary, and nothing
else of the request, so that no data of one client reaches the response of another.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import structlog
from msgspec import Struct

from restwell.edge._cached_response import (
    FIRST_ERROR_STATUS,
    IDENTITY,
    REQUEST_ID,
    CachedResponse,
    Variant,
    etag_listed,
    hit_headers_of,
    if_match_holds,
    negotiate_encoding,
    ttl_of,
    variant_of,
    with_request_id,
)
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
from restwell.errors import PreconditionFailed

MAX_LOOKUPS: Final = 4_096
"""The number of parsed request targets that are remembered; parsing one costs microseconds."""
MAX_LOOKUP_CHARS: Final = 1_024
"""A longer request target is not remembered. Only unknown query parameters make it that long."""
MAX_ENCODINGS: Final = 256
MAX_VARY_BYTES: Final = 200

log = structlog.get_logger("restwell.edge")

T = TypeVar("T")

_MISS: Final[Headers] = [(b"cache-status", b"restwell; fwd=miss")]
"""Without Age, which would imply that the origin did not generate the response (RFC 9111 5.1)."""


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

    def get_nowait(self, context: RequestContext, route: Route, policy: CachePolicy) -> Response | None:
        """The response, if it is known to be current without I/O; else None, and ``cache_lookup`` is set.

        It is not set if the query is invalid: the application responds with the error. Raises PreconditionFailed.
        """
        scope = context.scope
        target = (scope["path"], scope["query_string"])
        lookup = self._lookups.get(target)
        if lookup is None:
            lookup = self._parse(context, route, policy)
            if lookup is None:
                return None
            self._remember(target, lookup)
        key = _cache_key(lookup, context) if policy.vary else lookup.key
        now = time.time()
        cached: CachedResponse | None = self._cache.get_nowait(key, lookup.stats, now)
        if cached is None:
            context.cache_lookup = lookup
            return None
        if context.trace is not None:  # else see start_trace
            context.trace.cache = "hit"
        return self.render(cached, lookup, context, now)

    async def get_or_load(self, lookup: CacheLookup, context: RequestContext) -> CachedResponse:
        """The response, from the cache or the application. Concurrent requests share one call of the application."""
        return await self._cache.get_or_load(
            _cache_key(lookup, context),
            lambda: self._load(lookup, context),
            kind=CachedResponse,
            tags=lookup.tags,
            ttl_seconds=lambda cached: ttl_of(cached, lookup.policy),
            name=lookup.name,
        )

    def render(
        self,
        cached: CachedResponse,
        lookup: CacheLookup,
        context: RequestContext,
        now: float,
        *,
        may_be_new: bool = False,
    ) -> Response:
        """The response to this request: the variant that it accepts, or 304. Raises PreconditionFailed.

        ``may_be_new``: the application may have been called for this request.
        """
        context.is_prepared = True  # the edge undoes it if this raises
        sent = context.headers
        accept_encoding = sent.get(b"accept-encoding")
        if_none_match, if_match = sent.get(b"if-none-match"), sent.get(b"if-match")
        encoding = self._encoding(accept_encoding) if accept_encoding is not None else IDENTITY
        variant: Variant | None = cached.variants.get(encoding)
        if variant is None:
            variant = cached.variants[encoding] = variant_of(
                cached, lookup.policy, encoding, lambda headers: self._add_headers(context, headers)
            )
        is_error = cached.status >= FIRST_ERROR_STATUS
        if if_match is not None and not is_error and not if_match_holds(if_match, variant.etag):
            raise PreconditionFailed
        if may_be_new and now - cached.created_at <= time.perf_counter() - context.started_at:
            cache_headers = _MISS
        elif variant.hit_second == int(now):
            cache_headers = variant.hit_headers
        else:
            variant.hit_second = int(now)
            cache_headers = variant.hit_headers = hit_headers_of(cached, lookup.policy, now)
        if is_error:
            return with_request_id(cached, variant, cache_headers, context.request_id)
        if if_none_match is not None and etag_listed(if_none_match, variant.etag):
            return 304, variant.not_modified + cache_headers, b""
        return cached.status, variant.headers + cache_headers, variant.body

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
            encoding = negotiate_encoding(accept_encoding)
            if len(self._encodings) >= MAX_ENCODINGS:
                self._encodings.clear()
            if len(accept_encoding) <= MAX_VARY_BYTES:
                self._encodings[accept_encoding] = encoding
        return encoding


class CachedResponses(Hook):
    """Answers a request whose response is cached and known to be current without I/O."""

    def __init__(self, responses: ResponseCache) -> None:
        self._get_nowait = responses.get_nowait

    def admit(self, context: RequestContext) -> Response | None:
        """Raises PreconditionFailed."""
        route = context.route
        if route is None or route.cache is None:
            return None
        return self._get_nowait(context, route, route.cache)


class CacheLoads(Hook):
    """Answers the other requests for cached routes, through the cache."""

    def __init__(self, responses: ResponseCache) -> None:
        self._responses = responses

    def admit(self, context: RequestContext) -> Awaitable[Response] | None:
        """Raises PreconditionFailed, and the errors of the cache."""
        lookup: CacheLookup | None = context.cache_lookup
        return self._respond(context, lookup) if lookup is not None else None

    async def _respond(self, context: RequestContext, lookup: CacheLookup) -> Response:
        cached = await self._responses.get_or_load(lookup, context)
        return self._responses.render(cached, lookup, context, time.time(), may_be_new=True)


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
    is_read, is_complete = False, asyncio.Event()

    async def receive() -> Message:
        nonlocal is_read
        if is_read:  # frameworks wait for the disconnect while they stream
            await is_complete.wait()
            return {"type": "http.disconnect"}
        is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                is_complete.set()

    scope[SCOPE_KEY] = own = new_context(scope, receive)
    own.request_id, own.route, own.path_parameters = REQUEST_ID, context.route, context.path_parameters
    try:
        await app(scope, receive, send)
    except Exception:
        if status < HTTPStatus.INTERNAL_SERVER_ERROR or not is_complete.is_set():
            raise
        log.exception("unhandled_exception", path=scope["path"])  # an existing application has responded
    finally:
        del scope[SCOPE_KEY]  # breaks the reference cycle between scope and context
    return CachedResponse(status, headers, b"".join(parts), time.time())
