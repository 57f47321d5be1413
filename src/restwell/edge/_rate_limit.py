"""Rate limits of HTTP requests: who is counted, when, and the RateLimit headers.

A request is counted once. The edge counts it for its client's network before anything else runs, unless its route has
guards: then the application counts it after the guards, for the user if they found one.
"""

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from typing import Final, Protocol, TypeVar

import msgspec
import structlog
from msgspec import UNSET

from restwell.client_ip import network_of
from restwell.edge._client_address import FORWARDED_FOR
from restwell.edge._context import Headers, Hook, RequestContext, Scope
from restwell.edge._route import Route
from restwell.rate_limits import Rate
from restwell.rate_limits._limiter import RateLimited
from restwell.rate_limits._rate import RateLimitResult

log = structlog.get_logger("restwell.edge")

R = TypeVar("R", bound=Route)

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Limiter(Protocol):
    """``reads`` and ``writes`` are the rates of routes that declare none."""

    reads: Rate
    writes: Rate

    def scaled(self, rate: Rate) -> Rate: ...
    def count_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request without I/O; None if ``count`` must be awaited instead."""

    async def count(self, rate: Rate, client_key: str) -> RateLimitResult: ...


def with_rates(routes: Iterable[R], limiter: Limiter | None) -> list[R]:
    """The routes with the rates that apply to them: scaled, and that of reads or writes for a route that declares none.

    Without a limiter, they have none. Call it once.
    """
    return [msgspec.structs.replace(route, rate=_applied_rate(route, limiter)) for route in routes]


def _applied_rate(route: Route, limiter: Limiter | None) -> Rate | None:
    if limiter is None or route.rate is None:
        return None
    if route.rate is UNSET:
        return limiter.scaled(limiter.reads if route.method in _READS else limiter.writes)
    return limiter.scaled(route.rate)


class RateLimit(Hook):
    """Counts requests. Requests without a route have the rate of reads or of writes.

    Headers (draft-ietf-httpapi-ratelimit-headers-11): ``r`` is the number of requests that are allowed now. ``t`` is
    the number of seconds until the quota is full, or, if the request was rejected, until the next request is allowed.

    Logs a warning, once, when a rejected request came through a proxy although ``trusted_hops`` is 0, and when an
    application with routes that it counts itself did not count one.
    """

    def __init__(self, limiter: Limiter, trusted_hops: int = 0) -> None:
        self._limiter = limiter
        self._count_nowait = limiter.count_nowait
        self.reads, self._writes = limiter.scaled(limiter.reads), limiter.scaled(limiter.writes)
        self._warn_of_proxy = not trusted_hops
        self._warn_of_uncounted = True

    def admit(self, context: RequestContext) -> Awaitable[None] | None:
        """Raises RateLimited."""
        route = context.route
        if route is None:
            rate = self.reads if context.method in _READS else self._writes
        elif route.has_guards or not route.rate:
            return None
        else:
            rate = route.rate
        key = client_key(context.scope)
        result = self._count_nowait(rate, key)
        if result is None:
            return self._wait(context, rate, key)
        context.rate_limit = result
        if not result.allowed:
            raise RateLimited(seconds=result.reset_seconds)
        return None

    async def count(self, context: RequestContext) -> None:
        """Count a request to a route with guards, after the guards, also if one rejected it.

        Raises RateLimited. Does nothing if the request is counted, or its route has no limit.
        """
        route = context.route
        if context.rate_limit is not None or route is None or not route.rate:
            return
        await self.charge(context, route.rate)

    async def charge(self, context: RequestContext, rate: Rate, times: int = 1) -> None:
        """Count a request to this rate, ``times`` as often as one: for the user if there is one. Raises RateLimited."""
        key = str(context.user_id) if context.user_id is not None else client_key(context.scope)
        for _ in range(times):
            context.rate_limit = result = self._count_nowait(rate, key) or await self._limiter.count(rate, key)
            if not result.allowed:
                raise RateLimited(seconds=result.reset_seconds)

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        result = context.rate_limit
        if result is not None:
            name, policy = _policy(result.rate)
            headers += (policy, (b"ratelimit", b"%b;r=%d;t=%d" % (name, result.remaining, result.reset_seconds)))
            if not result.allowed and self._warn_of_proxy and context.user_id is None:
                self._check_for_proxy(context)
        elif self._warn_of_uncounted and context.route is not None and context.route.has_guards and context.route.rate:
            self._warn_of_uncounted = False
            log.warning(
                "rate_limit_not_counted",
                route=context.route.path,
                hint="call kit.count_request for every request, also if authentication fails",
            )

    async def _wait(self, context: RequestContext, rate: Rate, key: str) -> None:
        context.rate_limit = result = await self._limiter.count(rate, key)
        if not result.allowed:
            raise RateLimited(seconds=result.reset_seconds)

    def _check_for_proxy(self, context: RequestContext) -> None:
        if FORWARDED_FOR in context.headers:
            self._warn_of_proxy = False
            log.warning(
                "rate_limited_proxy",
                client=client_key(context.scope),
                hint="set TRUSTED_HOPS; all clients of the proxy share one quota",
            )


def client_key(scope: Scope) -> str:
    """The rate-limit key of an unauthenticated client: its network."""
    client = scope.get("client")
    return _network(client[0]) if client else ""


@lru_cache(4_096)
def _network(address: str) -> str:
    return network_of(address)


@lru_cache
def _policy(rate: Rate) -> tuple[bytes, tuple[bytes, bytes]]:
    """The quoted name, and the header of the policy."""
    name = f'"{rate.name}"'
    return name.encode(), (b"ratelimit-policy", f"{name};q={rate.count};w={rate.seconds}".encode())
