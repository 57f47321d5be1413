"""The headers of a rate limit, the key of an unauthenticated client, and the warning of a forgotten proxy."""

from uuid import UUID

import pytest
from structlog.testing import capture_logs

from edge_client import hello, request
from restwell.edge._context import Hook, RequestContext, Scope
from restwell.edge._rate_limit import RateLimitHeaders, client_key
from restwell.rate_limits import Rate
from restwell.rate_limits._rate import RateLimitResult

RATE = Rate("reads", 10, seconds=60)
REFUSED = RateLimitResult(RATE, 0, 6, allowed=False)
FORWARDED = {"x-forwarded-for": "203.0.113.7"}


class Counted(Hook):
    """Stands for the rate limiter."""

    def __init__(self, result: RateLimitResult | None, user_id: UUID | None = None) -> None:
        self._result = result
        self._user_id = user_id

    def before(self, context: RequestContext) -> None:
        context.rate_limit, context.user_id = self._result, self._user_id


async def test_a_counted_request_gets_the_policy_and_the_rest_of_its_quota() -> None:
    hooks = [RateLimitHeaders(), Counted(RateLimitResult(RATE, 3, 42))]
    headers = (await request(hooks=hooks)).headers
    assert headers["ratelimit-policy"] == '"reads";q=10;w=60'
    assert headers["ratelimit"] == '"reads";r=3;t=42'


async def test_a_request_that_is_not_counted_gets_no_headers_of_a_rate_limit() -> None:
    headers = (await request(hooks=[RateLimitHeaders(), Counted(None)])).headers
    assert not [name for name in headers if name.startswith("ratelimit")]


async def test_a_rejection_behind_an_unknown_proxy_is_logged_once() -> None:
    """Breaks when each rejection is logged. All clients of that proxy share one quota."""
    hooks = [RateLimitHeaders(), Counted(REFUSED)]
    with capture_logs() as logged:
        for _ in range(3):
            await request(hello, hooks=hooks, headers=FORWARDED)
    assert [(line["event"], line["client"]) for line in logged] == [("rate_limited_proxy", "127.0.0.1")]
    assert "TRUSTED_HOPS" in logged[0]["hint"]


@pytest.mark.parametrize(
    ("hops", "counted", "headers"),
    [
        (1, Counted(REFUSED), FORWARDED),
        (0, Counted(REFUSED), {}),
        (0, Counted(RateLimitResult(RATE, 3, 42)), FORWARDED),
        (0, Counted(REFUSED, UUID(int=1)), FORWARDED),
    ],
    ids=["trusted proxy", "no proxy", "allowed", "of a user"],
)
async def test_no_other_request_warns_of_a_proxy(hops: int, counted: Counted, headers: dict[str, str]) -> None:
    with capture_logs() as logged:
        await request(hello, hooks=[RateLimitHeaders(hops), counted], headers=headers)
    assert logged == []


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8::7", 1), "2001:db8::/64"),
        (("2001:db8::8:9", 2), "2001:db8::/64"),
        (None, ""),
    ],
)
def test_a_client_is_counted_by_its_network(client: tuple[str, int] | None, key: str) -> None:
    """Breaks when an IPv6 client is counted by its address: it has 2**64 of them."""
    scope: Scope = {"client": client}
    assert client_key(scope) == key
