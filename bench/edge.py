"""The cost of the edge per request: ``python bench/edge.py --out bench/results/edge.json``.

Calls a bare ASGI function with a response of 1 KB in process, then with the edge around it, adding one hook after the
other, in the order of their list. The last rows are a request that the application counts after its guards, and one
that the response cache answers. The stages are timed in turn in each round, so that noise affects all of them. Reports
the median in microseconds per request, or with ``--best`` the fastest of all chunks of a round.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "src")]

from restwell.cache import Cache  # noqa: E402
from restwell.cache._local import LocalStore  # noqa: E402
from restwell.edge._access_log import AccessLog  # noqa: E402
from restwell.edge._canonical_path import CanonicalPath  # noqa: E402
from restwell.edge._client_address import ClientAddress  # noqa: E402
from restwell.edge._concurrency_limiter import ConcurrencyLimiter  # noqa: E402
from restwell.edge._context import AsgiApp, Hook, Message, Receive, Scope, Send, request_context  # noqa: E402
from restwell.edge._cors import Cors, Preflight  # noqa: E402
from restwell.edge._deadline import Deadlines  # noqa: E402
from restwell.edge._header_fields import HeaderFields  # noqa: E402
from restwell.edge._pipeline import Edge  # noqa: E402
from restwell.edge._rate_limit import RateLimit, with_rates  # noqa: E402
from restwell.edge._request_id import RequestId  # noqa: E402
from restwell.edge._request_metrics import RequestMetrics  # noqa: E402
from restwell.edge._response_cache import CachedResponses, CacheLoads, ResponseCache  # noqa: E402
from restwell.edge._route import CachePolicy, Route  # noqa: E402
from restwell.edge._router import Router  # noqa: E402
from restwell.edge._routing import Routing  # noqa: E402
from restwell.edge._security_headers import SecurityHeaders  # noqa: E402
from restwell.edge._tracing import CurrentTrace, Tracing  # noqa: E402
from restwell.edge._url_limit import UrlLimit  # noqa: E402
from restwell.observability._log_output import output  # noqa: E402
from restwell.observability._logs import JsonLogWriter  # noqa: E402
from restwell.observability._trace_recorder import TraceRecorder  # noqa: E402
from restwell.observability._watchdog import Watchdog  # noqa: E402
from restwell.rate_limits._limiter import RateLimiter  # noqa: E402
from restwell.rate_limits._local import LocalRateLimitStore  # noqa: E402
from restwell.web._query_budget import QueryBudget  # noqa: E402

CALLS = 4_000
CHUNK = 200
LAST_ROW = "local rate limit"
CACHED_ROW = "instead of all that: a cached response, with its rate limit"
BODY = b"x" * 1_000
HEADERS = [
    (b"host", b"api.shop.example"),
    (b"user-agent", b"bench"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip"),
    (b"authorization", b"Bearer " + b"x" * 300),
    (b"x-forwarded-for", b"192.0.2.7"),
]
RATE = (10**6, 1)
ORIGINS = ["https://app.shop.example"]
CACHED = CachePolicy(60, 0, (), lambda _: ["products"], lambda _: ({}, b""))
PRODUCT = "/v1/products/0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
ROUTES = [
    Route(method="GET", path="/v1/orders", has_guards=True),
    Route(method="GET", path="/v1/products/{product_id}", path_types={"product_id": UUID}, cache=CACHED),
]


async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: Message) -> None: ...


def scope_of(path: str) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"limit=20",
        "headers": list(HEADERS),
        "client": ("127.0.0.1", 1),
        "state": {},
    }


def stages(limiter: RateLimiter, cache: Cache) -> list[tuple[str, AsgiApp, str]]:
    """The bare function, then the edge with one hook more in each stage. Each has the path of its requests."""
    rate_limit, concurrency, security = RateLimit(limiter), ConcurrencyLimiter(), SecurityHeaders()
    router = Router(with_rates(ROUTES, limiter))
    responses = ResponseCache(cache, raw, concurrency, [security], "1")

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request as after the guards of a route."""
        await rate_limit.count(request_context(scope))
        await raw(scope, receive, send)

    hooks_to_add: Sequence[tuple[str, Hook | None]] = [
        ("the pipeline: exceptions, HEAD", None),
        ("request metrics", RequestMetrics()),
        ("access log line", AccessLog(JsonLogWriter())),
        ("request id", RequestId()),
        ("trace", Tracing(TraceRecorder())),
        ("security headers", security),
        ("CORS", Cors(ORIGINS)),
        ("header field checks", HeaderFields()),
        ("client address behind a proxy", ClientAddress(1)),
        ("URL length", UrlLimit()),
        ("canonical path", CanonicalPath()),
        ("preflight requests", Preflight(ORIGINS)),
        ("router", Routing(router)),
        ("rate limit, before it counts", rate_limit),
        ("response cache, for another route", CachedResponses(responses)),
        ("trace of the task", CurrentTrace()),
        ("query budget", QueryBudget()),
        ("deadline and disconnects", Deadlines(5.0)),
        ("loads of the response cache, for another route", CacheLoads(responses)),
        ("concurrency limit", concurrency),
    ]
    found: list[tuple[str, AsgiApp, str]] = [("bare ASGI function", raw, "/v1/orders")]
    hooks: list[Hook] = []
    for name, hook in hooks_to_add:
        hooks += [hook] if hook is not None else []
        found.append((name, Edge(raw, list(hooks)), "/v1/orders"))
    found.append((LAST_ROW, Edge(counted, hooks), "/v1/orders"))
    return [*found, (CACHED_ROW, Edge(counted, hooks), PRODUCT)]


async def time_calls(app: AsgiApp, path: str) -> list[float]:
    """Call the app. Returns microseconds per call, of each chunk of the calls."""
    times = []
    for _ in range(CALLS // CHUNK):
        scopes = [scope_of(path) for _ in range(CHUNK)]
        began = time.perf_counter()
        for one in scopes:
            await app(one, receive, send)
        times.append((time.perf_counter() - began) / CHUNK * 1e6)
    return times


async def measure(rounds: int, summary: Callable[[Sequence[float]], float]) -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        limiter = RateLimiter(LocalRateLimitStore(Path(folder)), scale=1, reads=RATE, writes=RATE)
        cache = Cache(LocalStore(Path(folder), 1_000_000), max_bytes=1_000_000)
        await limiter.start()
        await cache.start()
        apps = stages(limiter, cache)
        times: dict[str, list[float]] = {name: [] for name, _, _ in apps}
        for number in range(rounds):
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            for name, app, path in apps:
                times[name] += await time_calls(app, path)
        with_watchdog = await _with_watchdog(apps[-2][1], rounds)
        await cache.close()
        await limiter.close()
    print(file=sys.stderr)
    cached = times.pop(CACHED_ROW)
    rows = [(name, summary(each)) for name, each in times.items()]
    return [*rows, ("with the watchdog", summary(with_watchdog)), (CACHED_ROW, summary(cached))]


async def _with_watchdog(app: AsgiApp, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        watchdog = Watchdog()
        watchdog.start()
        times += await time_calls(app, "/v1/orders")
        watchdog.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--best", action="store_true", help="report the fastest calls, on a machine with other work")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    stdout_copy = os.dup(1)
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 1)  # discards the access log
        found = asyncio.run(measure(arguments.rounds, min if arguments.best else statistics.median))
        output.flush()
        os.dup2(stdout_copy, 1)
    first, before = found[0][1], 0.0
    rows = []
    for name, now in found:
        rows.append({"with": name, "us": round(now, 2), "more_us": round(now - before, 2)})
        print(f"{now:7.2f} us  {now - before:+6.2f}  {name}")
        before = now
    edge = dict(found)
    print(f"the edge: {edge[LAST_ROW] - first:.2f} us per request")
    if arguments.out is not None:
        machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
        result = {"what": "the edge in process, with one hook more per row", "machine": machine, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
