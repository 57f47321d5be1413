"""Rate limits of routes: ``@post(rate_limit=Rate("sign_in", 20, seconds=60))``; ``rate_limit=None`` for one without.

A route that says nothing has the rate of all reads, or of all writes. Requests are counted for whoever signed in, else for the network
that they come from. It is done before the body is read.
"""

from typing import Any, Final, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Guard

from restwell.edge.exchange import Scope, exchange_in
from restwell.edge.rate_limit import whose
from restwell.limits import Rate, RateLimited, RateLimiter
from restwell.web.timeouts import take_own_time

_DECLARED: Final = "rate_limit"
_IN_FORCE: Final = "rate_in_force"


def limit_routes(app: Litestar, limiter: RateLimiter) -> None:
    """Have every route keep its rate: one with a guard that asks who calls counts there, any other here."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            default = limiter.reads if "GET" in handler.http_methods else limiter.writes
            rate = handler.opt.get(_DECLARED, default)
            if rate is None or handler.http_methods == {"OPTIONS"}:
                continue
            handler.opt[_IN_FORCE] = limiter.scaled(rate)
            handler.opt["limiter"] = limiter
            if not guards_of(handler):
                handler.resolve_guards().append(count_request)  # it keeps the list


def guards_of(handler: BaseRouteHandler) -> list[Guard]:
    """Those that say who may call it."""
    return [guard for guard in handler.resolve_guards() if guard not in {count_request, take_own_time}]


def rate_of(handler: BaseRouteHandler) -> Rate | None:
    """What the route keeps to."""
    rate: Rate | None = handler.opt.get(_IN_FORCE)
    return rate


def declared_rate(handler: HTTPRouteHandler) -> Rate | None:
    """What its own declaration says, if it has one of its own."""
    rate: Rate | None = handler.opt.get(_DECLARED)
    return rate


async def count_request(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler, user: str | None = None
) -> None:
    """Raise RateLimited where this is one request too many of the user, or of the network. What the edge has counted is not again."""
    rate = rate_of(handler)
    scope = cast("Scope", connection.scope)
    exchange = exchange_in(scope)
    if rate is None or exchange.allowance is not None:
        return
    limiter: RateLimiter = handler.opt["limiter"]
    who = user or whose(scope)
    exchange.allowance = allowance = limiter.count_now(rate, who) or await limiter.count(rate, who)
    if not allowance.admitted:
        raise RateLimited(seconds=allowance.seconds)
