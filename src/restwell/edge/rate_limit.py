"""What a request was told of its rate, as headers (draft-ietf-httpapi-ratelimit-headers-11)."""

from functools import lru_cache

from restwell.addresses import network_of
from restwell.edge.exchange import Concern, Exchange, Headers, Scope
from restwell.limits import Rate


class RateLimitHeaders(Concern):
    """``r`` more are admitted now, and all of them ``t`` seconds from now; or, where ``r`` is 0, one."""

    def on_response(self, exchange: Exchange, headers: Headers) -> None:
        allowance = exchange.allowance
        if allowance is not None:
            rate, left, seconds, _ = allowance
            name, policy = _written(rate)
            headers += ((b"ratelimit-policy", policy), (b"ratelimit", b"%b;r=%d;t=%d" % (name, left, seconds)))


@lru_cache
def _written(rate: Rate) -> tuple[bytes, bytes]:
    name = f'"{rate.name}"'
    return name.encode(), f"{name};q={rate.count};w={rate.seconds}".encode()


@lru_cache(4_096)
def _network(address: str) -> str:
    return network_of(address)


def whose(scope: Scope) -> str:
    """Who sends a request, where nobody has signed in: its network."""
    client = scope.get("client")
    return _network(client[0]) if client else ""
