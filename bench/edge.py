"""The cost of the edge per request: ``python bench/edge.py --out bench/results/edge.json``.

Calls a bare ASGI function with a response of 1 KB in process, then with the edge around it, adding one hook after the
other. The stages are timed in turn in each round, so that noise affects all of them. Reports the median in microseconds
per request.
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
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "src")]

from restwell.edge._access_log import AccessLog  # noqa: E402
from restwell.edge._client_address import ClientAddress  # noqa: E402
from restwell.edge._context import AsgiApp, Hook, Message, Receive, Scope, Send, request_context  # noqa: E402
from restwell.edge._cors import Cors  # noqa: E402
from restwell.edge._header_fields import HeaderFields  # noqa: E402
from restwell.edge._options import Options  # noqa: E402
from restwell.edge._pipeline import Edge  # noqa: E402
from restwell.edge._rate_limit import RateLimitHeaders, client_key  # noqa: E402
from restwell.edge._request_id import LogContext, RequestId  # noqa: E402
from restwell.edge._security_headers import SecurityHeaders  # noqa: E402
from restwell.edge._url_limit import UrlLimit  # noqa: E402
from restwell.observability._logs import JsonLogWriter  # noqa: E402
from restwell.observability._watchdog import Watchdog  # noqa: E402
from restwell.rate_limits import Rate  # noqa: E402
from restwell.rate_limits._local import LocalRateLimitStore  # noqa: E402
from restwell.web._query_budget import QueryBudget  # noqa: E402

CALLS = 4_000
BODY = b"x" * 1_000
HEADERS = [
    (b"host", b"api.shop.example"),
    (b"user-agent", b"bench"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip"),
    (b"authorization", b"Bearer " + b"x" * 300),
    (b"x-forwarded-for", b"192.0.2.7"),
]
RATE = Rate("bench", 10**6, seconds=1)


async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: Message) -> None: ...


def scope() -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/v1/products",
        "query_string": b"limit=20",
        "headers": list(HEADERS),
        "client": ("127.0.0.1", 1),
        "state": {},
    }


def stages(limits: LocalRateLimitStore) -> list[tuple[str, AsgiApp]]:
    """The bare function, then the edge with one hook more in each stage."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request like a guard."""
        request_context(scope).rate_limit = limits.take_nowait(RATE, client_key(scope))
        await raw(scope, receive, send)

    hooks_to_add: Sequence[tuple[str, Hook | None]] = [
        ("deadline, disconnects, overload, exceptions (the pipeline)", None),
        ("request id", RequestId()),
        ("header field checks", HeaderFields()),
        ("URL length", UrlLimit()),
        ("log context", LogContext()),
        ("security headers", SecurityHeaders()),
        ("access log line", AccessLog(JsonLogWriter())),
        ("query budget", QueryBudget()),
        ("OPTIONS", Options([])),
        ("client address behind a proxy", ClientAddress(1)),
        ("CORS", Cors(["https://app.shop.example"])),
        ("local rate limit", RateLimitHeaders()),
    ]
    found: list[tuple[str, AsgiApp]] = [("bare ASGI function", raw)]
    hooks: list[Hook] = []
    for name, hook in hooks_to_add:
        hooks += [hook] if hook is not None else []
        found.append((name, Edge(counted if isinstance(hook, RateLimitHeaders) else raw, list(hooks), 5.0)))
    return found


async def time_calls(app: AsgiApp) -> float:
    """Call the app. Returns microseconds per call."""
    scopes = [scope() for _ in range(CALLS)]
    began = time.perf_counter()
    for one in scopes:
        await app(one, receive, send)
    return (time.perf_counter() - began) / CALLS * 1e6


async def measure(rounds: int) -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        limits = LocalRateLimitStore(Path(folder))
        await limits.start()
        apps = stages(limits)
        times: dict[str, list[float]] = {name: [] for name, _ in apps}
        for number in range(rounds):
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            for name, app in apps:
                times[name].append(await time_calls(app))
        with_watchdog = await _with_watchdog(apps[-1][1], rounds)
        await limits.close()
    print(file=sys.stderr)
    return [(name, statistics.median(each)) for name, each in times.items()] + [("with the watchdog", with_watchdog)]


async def _with_watchdog(app: AsgiApp, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        watchdog = Watchdog()
        watchdog.start()
        times.append(await time_calls(app))
        watchdog.close()
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    stdout_copy = os.dup(1)
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 1)  # discards the access log
        found = asyncio.run(measure(arguments.rounds))
        os.dup2(stdout_copy, 1)
    first, before = found[0][1], 0.0
    rows = []
    for name, now in found:
        rows.append({"with": name, "us": round(now, 2), "more_us": round(now - before, 2)})
        print(f"{now:7.2f} us  {now - before:+6.2f}  {name}")
        before = now
    print(f"the edge: {before - first:.2f} us per request")
    if arguments.out is not None:
        machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
        result = {"what": "the edge in process, with one hook more per row", "machine": machine, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
