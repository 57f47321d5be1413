"""The edge of a kit, around any ASGI application."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_client import assert_problem
from edge_client import hello
from restwell._edge_hooks import build_edge
from restwell.cache import Cache
from restwell.cache._local import LocalStore
from restwell.database import Database, open_database
from restwell.database._consistency import ConsistencyTokens
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import Receive, Scope, Send, request_context
from restwell.edge._drain import Drain
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimit, with_rates
from restwell.edge._route import CachePolicy, Route
from restwell.edge._router import Router
from restwell.observability._metrics import Metrics
from restwell.observability._trace_recorder import TraceRecorder
from restwell.rate_limits._limiter import RateLimiter
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.settings import Settings
from restwell.web._query_budget import QueryBudget

EVERYTHING = {
    "CORS_ORIGINS": "https://app.example",
    "TRUSTED_HOPS": "1",
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "DATABASE_REPLICA_URLS": "postgresql://nobody@localhost/none",
}
ORDER = (
    "Drain RequestMetrics AccessLog RequestId Tracing SecurityHeaders Cors HeaderFields ClientAddress UrlLimit"
    " CanonicalPath Preflight Routing RateLimit CachedResponses CurrentTrace QueryBudget ReadYourWrites Deadlines"
    " CacheLoads ConcurrencyLimiter"
)
OPTIONAL = {"Cors", "ClientAddress", "Preflight", "RateLimit", "ReadYourWrites"}
POLICY = CachePolicy(60, 0, (), lambda _: ["one"], lambda _: ({}, b""))


class Parts:
    """The parts of a kit."""

    def __init__(self, folder: Path) -> None:
        self.database: Database = open_database(f"sqlite:///{folder / 'app.db'}", 1, 1)
        self.cache = Cache(LocalStore(folder, 1_000_000), max_bytes=1_000_000)
        self.limiter = RateLimiter(LocalRateLimitStore(folder), scale=1, reads=(3, 60), writes=(2, 60))
        self.metrics = Metrics(None)

    def edge(self, app: Any, routes: list[Route], settings: Settings, *, limited: bool = True) -> Edge:
        limiter = self.limiter if limited else None
        return build_edge(
            app,
            Router(with_rates(routes, limiter)),
            settings,
            database=self.database,
            cache=self.cache,
            metrics=self.metrics,
            traces=TraceRecorder(),
            tokens=ConsistencyTokens(b"k" * 32),
            rate_limit=RateLimit(limiter, settings.trusted_hops) if limiter is not None else None,
            write_log=None,
            drain=Drain(),
            version="1",
            exempt_paths=["/live"],
        )


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    parts = Parts(tmp_path)
    for each in (parts.cache, parts.limiter):
        await each.start()
    yield parts
    for each in (parts.cache, parts.limiter):
        await each.close()


def connect(edge: Edge) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://app.test")


@pytest.mark.parametrize("complete", [True, False])
def test_the_hooks_have_their_order(parts: Parts, *, complete: bool) -> None:
    """The position of a hook decides what it sees: the access log sees every request, a slot is taken last."""
    edge = parts.edge(hello, [], Settings.load(EVERYTHING if complete else {}), limited=complete)
    names = [type(hook).__name__ for hook in edge.hooks]
    assert names == [name for name in ORDER.split() if complete or name not in OPTIONAL]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("Drain", "RequestMetrics", id="every answer closes its connection, whichever hook gives it"),
        pytest.param("RequestMetrics", "AccessLog", id="the log line is part of the duration"),
        pytest.param("AccessLog", "RequestId", id="a rejected request is logged too"),
        pytest.param("RequestId", "HeaderFields", id="an error response has an id"),
        pytest.param("RequestId", "Tracing", id="a trace has the id of its request"),
        pytest.param("Tracing", "HeaderFields", id="a rejected request has a trace"),
        pytest.param("SecurityHeaders", "UrlLimit", id="an error response has security headers"),
        pytest.param("Cors", "RateLimit", id="the page of another origin may read a 429"),
        pytest.param("HeaderFields", "ClientAddress", id="a repeated Forwarded header is read whole"),
        pytest.param("ClientAddress", "RateLimit", id="the client is counted, not its proxy"),
        pytest.param("UrlLimit", "Routing", id="no long path is searched"),
        pytest.param("CanonicalPath", "Routing", id="no other spelling finds a route"),
        pytest.param("Preflight", "Routing", id="OPTIONS of a preflight is not that of the route"),
        pytest.param("Routing", "RateLimit", id="a route has its own rate"),
        pytest.param("RateLimit", "CachedResponses", id="cached responses count"),
        pytest.param("CachedResponses", "QueryBudget", id="a cached response costs nothing more"),
        pytest.param("Deadlines", "CacheLoads", id="waiting for another load has a timeout"),
        pytest.param("Deadlines", "ConcurrencyLimiter", id="waiting for a slot has a timeout"),
        pytest.param("CacheLoads", "ConcurrencyLimiter", id="requests that wait for one load hold one slot"),
    ],
)
def test_a_hook_runs_after_those_that_it_needs(before: str, after: str) -> None:
    assert ORDER.split().index(before) < ORDER.split().index(after)


async def test_the_metrics_of_the_edge_are_registered(parts: Parts) -> None:
    edge = parts.edge(hello, [], Settings.load({}))
    names = {metric.name for metric in parts.metrics.registry.collect()}
    assert {
        "http_server_request_duration_seconds",
        "restwell_requests_limit",
        "restwell_query_budget_exceeded",
    } <= names
    assert edge.hook(ConcurrencyLimiter).acquire_nowait("/live")
    assert edge.hook(QueryBudget).violations == {}


async def test_an_application_without_routes_of_the_kit_gets_the_default_limits(parts: Parts) -> None:
    """Breaks when the edge only limits the routes that it knows."""
    async with connect(parts.edge(hello, [], Settings.load({}))) as client:
        responses = [await client.get(f"/any/{number}") for number in range(4)]
        assert [response.status_code for response in responses] == [200, 200, 200, 429]
        assert_problem(responses[3], 429, "rate_limited")
        assert (await client.post("/any")).headers["ratelimit-policy"] == '"writes";q=2;w=60'


async def test_a_table_of_routes_adds_declarations_to_any_application(parts: Parts) -> None:
    called: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(f"{scope['path']} {request_context(scope).path_parameters}")
        await hello(scope, receive, send)

    routes = [
        Route(method="GET", path="/products/{number}", path_types={"number": int}, rate=None, cache=POLICY),
        Route(method="GET", path="/slow", timeout_seconds=60),
    ]
    async with connect(parts.edge(app, routes, Settings.load({}))) as client:
        responses = [await client.get("/products/7") for _ in range(5)]
        assert [(response.status_code, response.text) for response in responses] == [(200, "GET  ")] * 5
        assert responses[4].headers["cache-status"].startswith("restwell; hit")
        assert (await client.get("/slow")).headers["ratelimit-policy"] == '"reads";q=3;w=60'
        assert (await client.options("/slow")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert called == ["/products/7 {'number': 7}", "/slow {}"]
