"""Answers of public routes, kept as ready bytes: a hit leaves from the edge and never enters the framework.

Follows RFC 9111 (Age, Cache-Control, Vary), RFC 9110 13 (ETag, If-None-Match) and RFC 9211 (Cache-Status). What a client sends to
have a cache ask again is not heeded: what is kept here is what the origin would answer.

A handler that fills the cache sees the path, its normalised query and the headers its answer varies on, and nothing else of the
request that happened to come first: nothing of that one can end up in everyone's answer.
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
from restwell.cache.cache import MISSING_SECONDS
from restwell.cache.metrics import CacheStats
from restwell.edge.context import AsgiApp, Headers, Message, RequestContext, Response, Scope
from restwell.edge.problem import problem_response
from restwell.errors import PROBLEM_MEDIA_TYPE, PreconditionFailed
from restwell.rate_limits import Rate

COMPRESS_BYTES: Final = 1_000
"""A body below it is not worth compressing."""
TARGETS: Final = 4_096
"""So many ways to write a request are remembered; to read one again costs microseconds."""
TARGET_CHARS: Final = 1_024
"""A longer one is not remembered: it is long because of what nobody asked for."""
CODINGS: Final = 256
CODING_BYTES: Final = 1_024
"""Of Accept-Encoding; a longer one is not read, and is answered without compression."""
VARY_BYTES: Final = 200
ERRORS: Final = 400
IDENTITY: Final = b""
GZIP: Final = b"gzip"

Adorn = Callable[[RequestContext, Headers], None]

_ENTITY_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')
_GZIP_END: Final = b'-gzip"'
_MISS: Final[Headers] = [(b"cache-status", b"restwell; fwd=miss")]
"""Without Age: it would say that the origin was not asked (RFC 9111 5.1)."""
_COMPRESSIBLE: Final = (b"application/json", b"text/", PROBLEM_MEDIA_TYPE.encode())
_PRIVATE: Final = (b"private", b"no-store")
_REPLACED: Final = frozenset({b"content-length", b"cache-control", b"etag", b"vary"})
_NOT_ON_304: Final = frozenset({b"content-type", b"content-encoding"})


class Variant:
    """One form of an answer, ready to be sent. ``hit`` are the headers that tell a hit of the second ``second``."""

    __slots__ = ("body", "etag", "headers", "hit", "not_modified", "second")

    def __init__(self, headers: Headers, body: bytes, etag: bytes, not_modified: Headers) -> None:
        self.headers = headers
        self.body = body
        self.etag = etag
        self.not_modified = not_modified
        self.hit: Headers = []
        self.second = 0


class Answer(Struct):
    """What the application answered, and its forms by content coding; those are made when first asked for, never kept."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    made_at: float
    variants: dict[bytes, Any] = {}


class CachedRoute(Struct, frozen=True):
    """A public GET route. ``read_query`` gives the query's values and its one normalised form, or None where it is not valid;
    ``read_path`` gives the values of the path, of what the pattern has found. ``handler`` is the framework's, which need not look for it.

    ``tags`` makes the tags of the values of path and query. Clients may use an answer for ``client_seconds`` without asking.
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


class Target(Struct, frozen=True):
    """What a request asks for."""

    route: CachedRoute
    key: str
    parameters: dict[str, Any]
    query: bytes
    tags: tuple[str, ...]
    name: str
    varies: bool
    figures: CacheStats


class ResponseCache:
    """The answers of these routes. ``version`` is the application's own: another release's answers are not used."""

    def __init__(self, cache: Cache, routes: Sequence[CachedRoute], version: str) -> None:
        self._cache = cache
        self._routes = routes
        self._version = version
        self._targets: dict[tuple[str, bytes], Target] = {}
        self._codings: dict[bytes, bytes] = {}

    def target(self, scope: Scope) -> Target | None:
        """What a GET or HEAD asks for, if that is kept here at all."""
        place = (scope["path"], scope["query_string"])
        target = self._targets.get(place)
        if target is None:
            target = self._read(*place)
            if target is None:
                return None
            if len(self._targets) >= TARGETS:
                self._targets.clear()
            if len(scope["path"]) + len(scope["query_string"]) <= TARGET_CHARS:
                self._targets[place] = target
        return target

    def ready(self, target: Target, context: RequestContext) -> Answer | None:
        """The answer, if it can leave at once."""
        key = _key(target, context) if target.varies else target.key
        answer: Answer | None = self._cache.peek(key, target.figures, time.time())
        if answer is not None:
            context.scope["path_template"] = target.route.template
        return answer

    async def answer(self, target: Target, context: RequestContext, app: AsgiApp) -> Answer:
        """The answer, from whoever has it; from the application, in the end."""
        context.scope["path_template"] = target.route.template
        return await self._cache.get_or_load(
            _key(target, context),
            lambda: _ask(app, context, target),
            kind=Answer,
            tags=target.tags,
            ttl_seconds=lambda answer: _lifetime(answer, target.route),
            name=target.name,
        )

    def reply(
        self, answer: Answer, target: Target, context: RequestContext, constant: Adorn, *, new: bool = False
    ) -> Response:
        """The form that this client takes, or 304; ``constant`` adds the headers that every answer has.

        ``new`` says that the application may have answered just now.
        """
        sent = context.headers
        accepted, held, expected = sent.get(b"accept-encoding"), sent.get(b"if-none-match"), sent.get(b"if-match")
        coding = self._coding(accepted) if accepted is not None else IDENTITY
        variant: Variant | None = answer.variants.get(coding)
        if variant is None:
            variant = answer.variants[coding] = _variant(
                answer, target.route, coding, lambda headers: constant(context, headers)
            )
        if expected is not None and answer.status < ERRORS and not _is_expected(expected, variant.etag):
            status, headers, body = problem_response(PreconditionFailed(), context.request_id)
            constant(context, headers)
            return status, headers, body
        now = time.time()
        if new and now - answer.made_at <= time.perf_counter() - context.started_at:
            extra = _MISS
        elif variant.second == int(now):
            extra = variant.hit
        else:
            variant.second = int(now)
            extra = variant.hit = _hit(answer, target.route, now)
        if held is not None and answer.status < ERRORS and _is_held(held, variant.etag):
            return 304, variant.not_modified + extra, b""
        if answer.status >= ERRORS:
            return _for_this_request(answer, variant, extra, context.request_id)
        return answer.status, variant.headers + extra, variant.body

    def _read(self, path: str, query_string: bytes) -> Target | None:
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is not None:
                read = route.read_query(query_string)
                if read is None:
                    return None
                values, query = read
                tags = tuple(route.tags({**found.groupdict(), **values}))
                name = f"GET {route.template}"
                key = f"{name} {path}?{query.decode()} {self._version}"
                parameters = route.read_path(found.groupdict())
                return Target(route, key, parameters, query, tags, name, bool(route.vary), self._cache.metrics.of[name])
        return None

    def _coding(self, accepted: bytes) -> bytes:
        coding = self._codings.get(accepted)
        if coding is None:
            coding = _negotiate(accepted)
            if len(self._codings) >= CODINGS:
                self._codings.clear()
            if len(accepted) <= VARY_BYTES:
                self._codings[accepted] = coding
        return coding


def _key(target: Target, context: RequestContext) -> str:
    sent = context.headers
    return target.key + "".join(f" {sent.get(name, b'')[:VARY_BYTES]!r}" for name in target.route.vary)


async def _ask(app: AsgiApp, context: RequestContext, target: Target) -> Answer:
    """Have the application answer for everyone."""
    asked = context.scope
    scope: Scope = {
        **asked,
        "method": "GET",
        "query_string": target.query,
        "headers": [(name, value[:VARY_BYTES]) for name, value in context.headers.items() if name in target.route.vary],
        "state": dict(asked.get("state") or {}),
        "route_handler": target.route.handler,
        "path_params": target.parameters,
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
    asked["route_handler"] = target.route.handler
    return Answer(status, headers, b"".join(parts), time.time())


def _lifetime(answer: Answer, route: CachedRoute) -> float:
    """In seconds; 0 for what may not be kept. 404 is kept for a moment."""
    if answer.status == 404:
        return min(route.ttl_seconds, MISSING_SECONDS)
    return route.ttl_seconds if answer.status == 200 and not _is_private(answer) else 0.0


def _is_private(answer: Answer) -> bool:
    """Whether it sets a cookie, or says that it is for one person or for no cache."""
    return any(
        name == b"set-cookie" or (name == b"cache-control" and any(word in value for word in _PRIVATE))
        for name, value in answer.headers
    )


def _variant(answer: Answer, route: CachedRoute, coding: bytes, constant: Callable[[Headers], None]) -> Variant:
    given = dict(answer.headers)
    etag = given.get(b"etag") or b'"%s"' % blake2b(answer.body, digest_size=12).hexdigest().encode()
    body = answer.body
    headers = [(name, value) for name, value in answer.headers if name not in _REPLACED]
    if coding == GZIP and len(body) >= COMPRESS_BYTES and given.get(b"content-type", b"").startswith(_COMPRESSIBLE):
        body = gzip.compress(body, mtime=0)
        etag = etag[:-1] + _GZIP_END
        headers.append((b"content-encoding", GZIP))
    if answer.status < ERRORS:
        rule = b"public, max-age=%d" % route.client_seconds if route.client_seconds else b"public, no-cache"
        if _is_private(answer):
            rule = given.get(b"cache-control", b"no-store")
        headers += [(b"etag", etag), (b"cache-control", rule)]
    headers.append((b"vary", b", ".join((b"accept-encoding", *route.vary))))
    constant(headers)
    not_modified = [header for header in headers if header[0] not in _NOT_ON_304]
    if answer.status < ERRORS:
        headers.append((b"content-length", str(len(body)).encode()))
    return Variant(headers, body, etag, not_modified)


def _hit(answer: Answer, route: CachedRoute, now: float) -> Headers:
    age = max(0, int(now - answer.made_at))
    left = max(0, int(route.ttl_seconds) - age)
    return [(b"cache-status", b"restwell; hit; ttl=%d" % left), (b"age", b"%d" % age)]


def _is_held(if_none_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.2: weak comparison, any of a list, or * for whatever there is."""
    return if_none_match.strip() == b"*" or etag in _ENTITY_TAG.findall(if_none_match)


def _is_expected(if_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.1, before If-None-Match (13.2.2); the codings of one state have one tag here (decision 23)."""
    return _is_held(if_match.replace(_GZIP_END, b'"'), etag.replace(_GZIP_END, b'"'))


def _negotiate(accepted: bytes) -> bytes:
    """RFC 9110 12.5.3: gzip where it, or anything, is accepted with a weight above 0."""
    if len(accepted) > CODING_BYTES:
        return IDENTITY
    weights = {}
    for part in accepted.lower().split(b","):
        coding, _, parameters = part.partition(b";")
        weight = parameters.strip().removeprefix(b"q=")
        weights[coding.strip()] = not parameters.strip().startswith(b"q=") or weight.rstrip(b"0") not in {
            b"",
            b"0",
            b"0.",
        }
    return GZIP if weights.get(GZIP, weights.get(b"*", False)) else IDENTITY


def _for_this_request(answer: Answer, variant: Variant, extra: Headers, request_id: str) -> Response:
    """A problem names the request that it answers."""
    body = answer.body
    if (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in answer.headers:
        body = msgspec.json.encode({**msgspec.json.decode(answer.body), "request_id": request_id})
    return answer.status, [*variant.headers, *extra, (b"content-length", str(len(body)).encode())], body
