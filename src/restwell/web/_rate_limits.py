"""Rate limits of routes: ``@post(rate_limit=Rate("sign_in", 20, seconds=60))``, or ``rate_limit=None``.

Without a declaration, a route shares the rate of all reads or of all writes. Each request is counted once, also if a
guard rejects it: for the authenticated user, otherwise for the client's network. It is counted before the body is read.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Guard

from restwell.edge._context import Scope, request_context
from restwell.edge._rate_limit import client_key
from restwell.rate_limits import Rate
from restwell.rate_limits._limiter import RateLimited, RateLimiter
from restwell.web._timeouts import set_timeout

DOCUMENTS: Final = Rate("documents", 600, seconds=60)
"""The rate of ``/docs``, ``/openapi.json`` and ``/.well-known``, separate from the rate of reads."""

_DECLARED: Final = "rate_limit"
_EFFECTIVE: Final = "effective_rate"


def apply_rate_limits(app: Litestar, limiter: RateLimiter) -> None:
    """Add the rate limit to the guards of every route."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            default = limiter.reads if "GET" in handler.http_methods else limiter.writes
            rate = handler.opt.get(_DECLARED, default)
            if rate is None or handler.http_methods == {"OPTIONS"}:
                continue
            handler.opt[_EFFECTIVE] = limiter.scaled(rate)
            handler.opt["limiter"] = limiter
            guards = handler.resolve_guards()  # Litestar caches this list
            guards[:] = [_CountingGuard(guards)]


def route_guards(handler: BaseRouteHandler) -> list[Guard]:
    """The guards of the route, without those of rate limits and timeouts."""
    guards = handler.resolve_guards()
    counted = [guard for counting in guards if isinstance(counting, _CountingGuard) for guard in counting.guards]
    return [
        *(guard for guard in guards if guard is not set_timeout and not isinstance(guard, _CountingGuard)),
        *counted,
    ]


def effective_rate(handler: BaseRouteHandler) -> Rate | None:
    """The scaled rate of the route, once ``apply_rate_limits`` has run. None if it has no limit."""
    rate: Rate | None = handler.opt.get(_EFFECTIVE)
    return rate


def declared_rate(handler: HTTPRouteHandler) -> Rate | None:
    """The rate that the route declares. None for the default rates."""
    rate: Rate | None = handler.opt.get(_DECLARED)
    return rate


class _CountingGuard:
    """Runs the guards of a route, then counts the request, also if a guard rejects it."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.guards = tuple(guards)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raises RateLimited above the limit, also if a guard raised another error."""
        try:
            for guard in self.guards:
                await cast("Any", guard)(connection, handler)  # the framework has wrapped synchronous ones
        except Exception:
            await _count(connection, handler)
            raise
        await _count(connection, handler)


async def _count(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    scope = cast("Scope", connection.scope)
    context = request_context(scope)
    if context.rate_limit is not None:
        return  # counted by the edge
    rate: Rate = handler.opt[_EFFECTIVE]
    limiter: RateLimiter = handler.opt["limiter"]
    key = str(context.user_id) if context.user_id is not None else client_key(scope)
    context.rate_limit = result = limiter.count_nowait(rate, key) or await limiter.count(rate, key)
    if not result.allowed:
        raise RateLimited(seconds=result.reset_seconds)
