"""A cached response of the application, and what one client gets of it.

RFC 9110 8.8.3 (ETag), 12.5.3 (Accept-Encoding) and 13 (conditional requests), RFC 9111 5.1 (Age), RFC 9211
(Cache-Status).
"""

import gzip
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from restwell.edge._context import Headers, Response
from restwell.edge._route import CachePolicy
from restwell.errors import PROBLEM_MEDIA_TYPE

MIN_COMPRESS_BYTES: Final = 1_000
MAX_ACCEPT_ENCODING_BYTES: Final = 1_024
"""A longer Accept-Encoding is ignored; the response is not compressed."""
MISSING_SECONDS: Final = 5.0
"""How long a 404 is cached at most."""
REQUEST_ID: Final = "the-id-of-this-request"
"""Stands for the request id in the cached body of an error."""
FIRST_ERROR_STATUS: Final = 400
IDENTITY: Final = b""
GZIP: Final = b"gzip"

_ENTITY_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')
_GZIP_SUFFIX: Final = b'-gzip"'
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


def ttl_of(cached: CachedResponse, policy: CachePolicy) -> float:
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


def variant_of(
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


def hit_headers_of(cached: CachedResponse, policy: CachePolicy, now: float) -> Headers:
    age = max(0, int(now - cached.created_at))
    ttl = max(0, int(policy.ttl_seconds) - age)
    return [(b"cache-status", b"restwell; hit; ttl=%d" % ttl), (b"age", b"%d" % age)]


def etag_listed(if_none_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.2: weak comparison with each listed entity tag; * matches any."""
    return if_none_match.strip() == b"*" or etag in _ENTITY_TAG.findall(if_none_match)


def if_match_holds(if_match: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.1, evaluated before If-None-Match (13.2.2). The content coding is ignored (decision 23)."""
    return etag_listed(if_match.replace(_GZIP_SUFFIX, b'"'), etag.replace(_GZIP_SUFFIX, b'"'))


def negotiate_encoding(accept_encoding: bytes) -> bytes:
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


def with_request_id(cached: CachedResponse, variant: Variant, cache_headers: Headers, request_id: str) -> Response:
    """An error contains the id of the request that it responds to."""
    body = cached.body.replace(REQUEST_ID.encode(), request_id.encode())
    return cached.status, [*variant.headers, *cache_headers, (b"content-length", str(len(body)).encode())], body
