"""What a request was told of its rate, as headers (draft-ietf-httpapi-ratelimit-headers-11)."""

from functools import lru_cache

import structlog

from restwell.client_ip import network_of
from restwell.edge.client_address import HEADER as FORWARDED
from restwell.edge.context import Headers, Hook, RequestContext, Scope
from restwell.rate_limits import Rate

log = structlog.get_logger("restwell.edge")


class RateLimitHeaders(Hook):
    """``r`` more are admitted now, and all of them ``t`` seconds from now; or, where ``r`` is 0, one.

    Says once in the log when who is refused came through a proxy that ``trusted_hops`` does not count.
    """

    def __init__(self, trusted_hops: int = 0) -> None:
        self._is_suspicious = not trusted_hops

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        result = context.rate_limit
        if result is not None:
            rate, left, seconds, admitted = result
            name, policy = _written(rate)
            headers += ((b"ratelimit-policy", policy), (b"ratelimit", b"%b;r=%d;t=%d" % (name, left, seconds)))
            if not admitted and self._is_suspicious and context.user_id is None:
                self._look_for_proxy(context.scope)

    def _look_for_proxy(self, scope: Scope) -> None:
        if any(name == FORWARDED for name, _ in scope["headers"]):
            self._is_suspicious = False
            log.warning(
                "rate_limit_of_a_proxy", client=client_key(scope), advice="all its clients are one; set TRUSTED_HOPS"
            )


@lru_cache
def _written(rate: Rate) -> tuple[bytes, bytes]:
    name = f'"{rate.name}"'
    return name.encode(), f"{name};q={rate.count};w={rate.seconds}".encode()


@lru_cache(4_096)
def _network(address: str) -> str:
    return network_of(address)


def client_key(scope: Scope) -> str:
    """Who sends a request, where nobody has signed in: its network."""
    client = scope.get("client")
    return _network(client[0]) if client else ""
