"""Rate limits of HTTP requests: who is counted and when, the headers, and the warning of a forgotten proxy."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec import UNSET, UnsetType
from structlog.testing import capture_logs

from api_client import assert_problem
from edge_client import HOOKS, hello, request
from restwell.edge._context import Hook, Receive, RequestContext, Scope, Send, request_context
from restwell.edge._rate_limit import RateLimit, client_key, with_rates
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.edge._routing import Routing
from restwell.rate_limits import Rate
from restwell.rate_limits._rate import RateLimitResult

RATE = Rate("sign_in", 10, seconds=60)
USER = UUID(int=1)
FORWARDED = {"x-forwarded-for": "203.0.113.7"}


class Counter:
    """A limiter that records what it counts, and allows ``quota`` requests in total."""

    def __init__(self, quota: int = 100, *, local: bool = True) -> None:
        self.reads, self.writes = Rate("reads", 20, seconds=60), Rate("writes", 5, seconds=60)
        self.quota, self.local = quota, local
        self.counted: list[tuple[str, str]] = []

    def scaled(self, rate: Rate) -> Rate:
        return rate.scaled(2)

    def count_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        return self._count(rate, client_key) if self.local else None

    async def count(self, rate: Rate, client_key: str) -> RateLimitResult:
        return self._count(rate, client_key)

    def _count(self, rate: Rate, client_key: str) -> RateLimitResult:
        self.counted.append((rate.name, client_key))
        remaining = self.quota - len(self.counted)
        return RateLimitResult(rate, max(0, remaining), 42, allowed=remaining >= 0)


class SignIn(Hook):
    """Stands for the guards of a route."""

    def __init__(self, user_id: UUID | None) -> None:
        self._user_id = user_id

    def admit(self, context: RequestContext) -> None:
        context.user_id = self._user_id


def hooks(limiter: Counter, route: Route | None = None, user_id: UUID | None = None, hops: int = 0) -> Sequence[Hook]:
    router = Router(with_rates([route] if route is not None else [], limiter))
    return [*HOOKS, Routing(router), SignIn(user_id), RateLimit(limiter, hops)]


def path_route(rate: Rate | UnsetType | None = UNSET, method: str = "GET", *, has_guards: bool = False) -> Route:
    return Route(method=method, path="/path", rate=rate, has_guards=has_guards)


@pytest.mark.parametrize("local", [True, False], ids=["in memory", "in Redis"])
@pytest.mark.parametrize(
    ("method", "route", "counted"),
    [
        ("GET", path_route(RATE), ["sign_in"]),
        ("HEAD", path_route(RATE), ["sign_in"]),
        ("GET", path_route(), ["reads"]),
        ("POST", path_route(method="POST"), ["writes"]),
        ("GET", path_route(None), []),
        ("GET", path_route(RATE, has_guards=True), []),
        ("DELETE", path_route(RATE), ["writes"]),
        ("GET", None, ["reads"]),
        ("HEAD", None, ["reads"]),
        ("POST", None, ["writes"]),
    ],
)
async def test_the_edge_counts_requests_without_guards_for_their_network(
    method: str, route: Route | None, counted: list[str], *, local: bool
) -> None:
    """Breaks when a path without a route is free, and when the request of a user is counted for the network."""
    limiter = Counter(local=local)
    response = await request(method=method, path="/path", hooks=hooks(limiter, route, USER))
    assert response.status_code == 200
    assert limiter.counted == [(name, "127.0.0.1") for name in counted]
    assert ("ratelimit" in response.headers) == bool(counted)


@pytest.mark.parametrize("local", [True, False], ids=["in memory", "in Redis"])
async def test_a_request_above_the_limit_gets_a_429_with_the_headers_of_the_edge(*, local: bool) -> None:
    """Breaks when the application runs, or the headers of an earlier hook are missing."""
    limiter = Counter(quota=1, local=local)
    first, second = [await request(path="/path", hooks=hooks(limiter, path_route(RATE))) for _ in range(2)]
    assert (first.status_code, first.headers["ratelimit"]) == (200, '"sign_in";r=0;t=42')
    assert first.headers["ratelimit-policy"] == '"sign_in";q=20;w=60', "the rate is scaled"
    assert_problem(second, 429, "rate_limited")
    assert (second.headers["retry-after"], second.headers["ratelimit"]) == ("42", '"sign_in";r=0;t=42')
    assert second.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("local", [True, False], ids=["in memory", "in Redis"])
@pytest.mark.parametrize(
    ("route", "user_id", "counted"),
    [
        (path_route(RATE, has_guards=True), USER, [("sign_in", str(USER))]),
        (path_route(RATE, has_guards=True), None, [("sign_in", "127.0.0.1")]),
        (path_route(None, has_guards=True), USER, []),
        (path_route(RATE), USER, [("sign_in", "127.0.0.1")]),
        (None, USER, [("reads", "127.0.0.1")]),
    ],
    ids=["user", "rejected by a guard", "no limit", "counted by the edge", "no route"],
)
async def test_the_application_counts_a_request_with_guards_once(
    route: Route | None, user_id: UUID | None, counted: list[tuple[str, str]], *, local: bool
) -> None:
    """Breaks when a second count counts again."""
    limiter = Counter(quota=1, local=local)
    chain = hooks(limiter, route, user_id)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await chain[-1].count(request_context(scope))  # type: ignore[attr-defined]
        await hello(scope, receive, send)

    assert (await request(guarded, path="/path", hooks=chain)).status_code == 200
    assert limiter.counted == counted
    assert (await request(guarded, path="/path", hooks=chain)).status_code == (429 if counted else 200)


def test_without_a_limiter_routes_have_no_rates() -> None:
    routes = with_rates([path_route(RATE), path_route(), path_route(None)], None)
    assert [route.rate for route in routes] == [None] * 3


async def test_a_rejection_behind_an_unknown_proxy_is_logged_once() -> None:
    """Breaks when each rejection is logged. All clients of that proxy share one quota."""
    chain = hooks(Counter(quota=0))[1:]
    with capture_logs() as logged:
        for _ in range(3):
            await request(hello, hooks=chain, headers=FORWARDED)
    assert [(line["event"], line["client"]) for line in logged] == [("rate_limited_proxy", "127.0.0.1")]
    assert "TRUSTED_HOPS" in logged[0]["hint"]


@pytest.mark.parametrize(
    ("hops", "quota", "user_id", "headers"),
    [(1, 0, None, FORWARDED), (0, 0, None, {}), (0, 9, None, FORWARDED), (0, 0, USER, FORWARDED)],
    ids=["trusted proxy", "no proxy", "allowed", "of a user"],
)
async def test_no_other_request_warns_of_a_proxy(
    hops: int, quota: int, user_id: UUID | None, headers: dict[str, str]
) -> None:
    with capture_logs() as logged:
        await request(hello, hooks=hooks(Counter(quota), user_id=user_id, hops=hops)[1:], headers=headers)
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
