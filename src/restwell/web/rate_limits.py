"""Rate limits of routes: ``@post(rate_limit=Rate("sign_in", 20, seconds=60))``; ``rate_limit=None`` for one without.

A route that says nothing has the rate of all reads, or of all writes. Each request is counted once, whatever guards the route has and
whether they let it in: for the user that a guard authenticated, else for the network that it comes from. It is done before the body is
read.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Guard

from restwell.edge.context import Scope, request_context
from restwell.edge.rate_limit import client_key
from restwell.rate_limits import Rate, RateLimited, RateLimiter
from restwell.web.timeouts import take_own_time

DOCUMENTS: Final = Rate("documents", 600, seconds=60)
"""Of what describes the API: pages of documentation, which are several files each, and ``/.well-known``. They take nothing from the reads."""

_DECLARED: Final = "rate_limit"
_IN_FORCE: Final = "rate_in_force"


def apply_rate_limits(app: Litestar, limiter: RateLimiter) -> None:
    """Have every route keep its rate."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            default = limiter.reads if "GET" in handler.http_methods else limiter.writes
            rate = handler.opt.get(_DECLARED, default)
            if rate is None or handler.http_methods == {"OPTIONS"}:
                continue
            handler.opt[_IN_FORCE] = limiter.scaled(rate)
            handler.opt["limiter"] = limiter
            guards = handler.resolve_guards()  # it keeps the list
            guards[:] = [_Counting(guards)]


def route_guards(handler: BaseRouteHandler) -> list[Guard]:
    """Those that say who may call it."""
    guards = handler.resolve_guards()
    counted = [guard for one in guards if isinstance(one, _Counting) for guard in one.guards]
    return [*(guard for guard in guards if guard is not take_own_time and not isinstance(guard, _Counting)), *counted]


def effective_rate(handler: BaseRouteHandler) -> Rate | None:
    """What the route keeps to."""
    rate: Rate | None = handler.opt.get(_IN_FORCE)
    return rate


def declared_rate(handler: HTTPRouteHandler) -> Rate | None:
    """What its own declaration says, if it has one of its own."""
    rate: Rate | None = handler.opt.get(_DECLARED)
    return rate


class _Counting:
    """The guards of a route in one, which counts the request behind them: also one that they refuse."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.guards = tuple(guards)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raises RateLimited where this is one request too many, whatever the guards have said."""
        try:
            for guard in self.guards:
                await cast("Any", guard)(connection, handler)  # the framework has made all of them asynchronous
        except Exception:
            await _count(connection, handler)
            raise
        await _count(connection, handler)


async def _count(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    scope = cast("Scope", connection.scope)
    context = request_context(scope)
    if context.rate_limit is not None:
        return  # the edge has counted it
    rate: Rate = handler.opt[_IN_FORCE]
    limiter: RateLimiter = handler.opt["limiter"]
    key = str(context.user_id) if context.user_id is not None else client_key(scope)
    context.rate_limit = result = limiter.count_nowait(rate, key) or await limiter.count(rate, key)
    if not result.allowed:
        raise RateLimited(seconds=result.reset_seconds)
