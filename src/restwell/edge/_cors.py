"""CORS: pages of the configured origins may call the API, without credentials.

Such a page authenticates with a token in the Authorization header. Cookies are limited to pages of the same origin.
"""

from collections.abc import Iterable
from typing import Final

from restwell.edge._context import Headers, Hook, RequestContext, Response

PREFLIGHT_SECONDS: Final = 600
"""How long a browser may cache the response to a preflight request."""
_MAX_REQUEST_HEADERS_BYTES: Final = 1_000

_VARY: Final = (b"vary", b"Origin")
_METHODS: Final = (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE")
_MAX_AGE: Final = (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode())
_EXPOSED: Final = (
    b"access-control-expose-headers",
    (
        b"ETag, Link, Location, Retry-After, X-Request-Id, Idempotent-Replayed, RateLimit, RateLimit-Policy,"
        b" Content-Disposition, Cache-Status, Deprecation, Sunset"
    ),
)


class Preflight(Hook):
    """Responds to preflight requests (Fetch 4.8) of the origins. Must follow HeaderFields."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}

    def admit(self, context: RequestContext) -> Response | None:
        if context.method != "OPTIONS":
            return None
        sent = context.headers
        if sent.get(b"origin") in self._origins and b"access-control-request-method" in sent:
            requested = sent.get(b"access-control-request-headers", b"")[:_MAX_REQUEST_HEADERS_BYTES]
            return 204, [_METHODS, (b"access-control-allow-headers", requested), _MAX_AGE], b""
        return None


class Cors(Hook):
    """Adds the CORS headers to every response, so it must precede the hooks that answer."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        headers.append(_VARY)
        origin = context.headers.get(b"origin")
        if origin in self._origins:
            headers += ((b"access-control-allow-origin", origin), _EXPOSED)
