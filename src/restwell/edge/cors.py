"""CORS: which pages of other origins may call the API. None may, unless their origin is listed.

Nothing is allowed with credentials: such a page signs in with a token in the Authorization header, and cookies stay with pages of our own.
"""

from collections.abc import Iterable
from typing import Final

from restwell.edge.exchange import Concern, Exchange, Headers

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


class Cors(Concern):
    """Answers what a browser asks before a request (Fetch 4.8), and says of each answer whose pages may read it."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}

    def before(self, exchange: Exchange) -> None:
        if exchange.scope["method"] != "OPTIONS":
            return
        sent = exchange.headers
        if sent.get(b"origin") in self._origins and b"access-control-request-method" in sent:
            asked = sent.get(b"access-control-request-headers", b"")[:_MAX_ASKED]
            exchange.answer = 204, [_METHODS, (b"access-control-allow-headers", asked), _MAX_AGE], b""

    def on_response(self, exchange: Exchange, headers: Headers) -> None:
        headers.append(_VARY)
        origin = exchange.headers.get(b"origin")
        if origin in self._origins:
            headers += ((b"access-control-allow-origin", origin), _EXPOSED)
