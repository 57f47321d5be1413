"""The RateLimit and RateLimit-Policy headers (draft-ietf-httpapi-ratelimit-headers-11)."""

from functools import lru_cache

import structlog

from restwell.client_ip import network_of
from restwell.edge._client_address import FORWARDED_FOR
from restwell.edge._context import Headers, Hook, RequestContext, Scope
from restwell.rate_limits import Rate

log = structlog.get_logger("restwell.edge")


class RateLimitHeaders(Hook):
    """``r`` is the number of requests that are allowed now. ``t`` is the number of seconds until the quota is full, or,
    if the request was rejected, until the next request is allowed.

    Logs a warning, once, when a rejected request came through a proxy although ``trusted_hops`` is 0.
    """

    def __init__(self, trusted_hops: int = 0) -> None:
        self._warn_of_proxy = not trusted_hops

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        result = context.rate_limit
        if result is not None:
            rate, remaining, seconds, allowed = result
            name, policy = _header_values(rate)
            headers += ((b"ratelimit-policy", policy), (b"ratelimit", b"%b;r=%d;t=%d" % (name, remaining, seconds)))
            if not allowed and self._warn_of_proxy and context.user_id is None:
                self._check_for_proxy(context.scope)

    def _check_for_proxy(self, scope: Scope) -> None:
        if any(name == FORWARDED_FOR for name, _ in scope["headers"]):
            self._warn_of_proxy = False
            log.warning(
                "rate_limited_proxy",
                client=client_key(scope),
                hint="set TRUSTED_HOPS; all clients of the proxy share one quota",
            )


@lru_cache
def _header_values(rate: Rate) -> tuple[bytes, bytes]:
    name = f'"{rate.name}"'
    return name.encode(), f"{name};q={rate.count};w={rate.seconds}".encode()


@lru_cache(4_096)
def _network(address: str) -> str:
    return network_of(address)


def client_key(scope: Scope) -> str:
    """The rate-limit key of an unauthenticated client: its network."""
    client = scope.get("client")
    return _network(client[0]) if client else ""
