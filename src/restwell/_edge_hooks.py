"""Builds the edge: the ordered list of everything that happens to a request before the application."""

from collections.abc import Iterable
from typing import Any

from restwell.cache import Cache
from restwell.database import Database
from restwell.database._consistency import ConsistencyTokens
from restwell.edge._access_log import AccessLog
from restwell.edge._api_usage import ApiUsage
from restwell.edge._canonical_path import CanonicalPath
from restwell.edge._client_address import ClientAddress
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import AsgiApp, Hook
from restwell.edge._cors import Cors, Preflight
from restwell.edge._deadline import Deadlines
from restwell.edge._drain import Drain
from restwell.edge._header_fields import HeaderFields
from restwell.edge._lifecycle_hooks import Lifecycles, Sunset
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimit
from restwell.edge._request_id import RequestId
from restwell.edge._request_metrics import RequestMetrics
from restwell.edge._response_cache import CachedResponses, CacheLoads, ResponseCache
from restwell.edge._router import Router
from restwell.edge._routing import Routing
from restwell.edge._security_headers import SecurityHeaders
from restwell.edge._tracing import CurrentTrace, Tracing
from restwell.edge._url_limit import UrlLimit
from restwell.errors import PROBLEMS, ErrorFormat
from restwell.observability._logs import JsonLogWriter
from restwell.observability._metrics import Metrics
from restwell.observability._trace_recorder import TraceRecorder
from restwell.settings import Settings
from restwell.web._query_budget import QueryBudget
from restwell.web._read_your_writes import ReadYourWrites


def build_edge(
    app: AsgiApp,
    router: Router[Any],
    settings: Settings,
    *,
    database: Database,
    cache: Cache,
    metrics: Metrics,
    traces: TraceRecorder,
    tokens: ConsistencyTokens,
    rate_limit: RateLimit | None,
    write_log: JsonLogWriter | None,
    drain: Drain,
    version: str,
    exempt_paths: Iterable[str] = (),
    errors: ErrorFormat = PROBLEMS,
    is_existing: bool = False,
    usage: ApiUsage | None = None,
    lifecycles: Lifecycles | None = None,
) -> Edge:
    """The edge around any ASGI application. Requests that ``router`` does not know get the default limits.

    The routes of the router have passed ``with_rates``. ``rate_limit`` is None if rate limits are off; the application
    calls its ``count`` for routes with guards. ``version`` identifies the release: cached responses of other releases
    are not used. Requests for ``exempt_paths`` are never rejected under overload, and their traces are not kept.
    ``is_existing``: the application was not written for the kit, so its paths, its OPTIONS and the headers of its
    responses are its own.

    Registers three collectors with ``metrics``, which ``Edge.hook`` returns: RequestMetrics, QueryBudget and
    ConcurrencyLimiter.
    """
    exempt_paths = frozenset(exempt_paths)
    limiter = ConcurrencyLimiter(database.pool_stats, exempt_paths)
    query_budget = QueryBudget()
    request_metrics = RequestMetrics()
    for collector in (request_metrics, limiter, query_budget):
        metrics.registry.register(collector)
    origins, hops = settings.cors.origins, settings.trusted_hops
    security = None if is_existing else SecurityHeaders()
    cacheable = [hook for hook in (security, lifecycles) if hook is not None]
    responses = ResponseCache(cache, app, limiter, cacheable, version)
    hooks: list[Hook | None] = [
        drain,
        request_metrics,
        AccessLog(write_log),
        RequestId(),
        Tracing(traces, exempt_paths),
        security,
        Cors(origins) if origins else None,
        usage,
        lifecycles,  # before the first hook that may refuse a request
        HeaderFields(app_evaluates_conditions=is_existing),
        ClientAddress(hops) if hops else None,
        UrlLimit(),
        None if is_existing else CanonicalPath(),
        Preflight(origins) if origins else None,
        Routing(router, responds_to_options=not is_existing),
        Sunset(lifecycles) if lifecycles is not None else None,
        rate_limit,
        CachedResponses(responses),
        CurrentTrace(),
        query_budget,
        ReadYourWrites(tokens) if settings.database.replica_urls else None,
        Deadlines(settings.request.timeout_seconds),
        CacheLoads(responses),
        limiter,
    ]
    return Edge(app, [hook for hook in hooks if hook is not None], errors)
