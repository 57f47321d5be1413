"""CORS: which pages of other origins may call the API. None may, unless their origin is listed.

Nothing is allowed with credentials: such a page signs in with a token in the Authorization header, and cookies stay with pages of our own.
"""

from collections.abc import Iterable
from typing import Final

from restwell.edge.context import Headers, Hook, RequestContext

PREFLIGHT_SECONDS: Final = 600
"""How long a browser need not ask again."""
_MAX_ASKED: Final = 1_000

_VARY: Final = (b"vary", b"Origin")
_METHODS: Final = (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE")
_MAX_AGE: Final = (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode())
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"ETag, Link, Location, Retry-After, X-Request-Id, Idempotent-Replayed, RateLimit, RateLimit-Policy, Content-Disposition, Cache-Status",
)


class Cors(Hook):
    """Answers what a browser asks before a request (Fetch 4.8), and says of each answer whose pages may read it."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}

    def before(self, context: RequestContext) -> None:
        if context.scope["method"] != "OPTIONS":
            return
        sent = context.headers
        if sent.get(b"origin") in self._origins and b"access-control-request-method" in sent:
            asked = sent.get(b"access-control-request-headers", b"")[:_MAX_ASKED]
            context.response = 204, [_METHODS, (b"access-control-allow-headers", asked), _MAX_AGE], b""

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        headers.append(_VARY)
        origin = context.headers.get(b"origin")
        if origin in self._origins:
            headers += ((b"access-control-allow-origin", origin), _EXPOSED)
