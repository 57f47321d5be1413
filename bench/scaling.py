"""Scaling by order lines, cached values and routes: ``python bench/scaling.py``.

Sequential orders of 1 to 50 lines over HTTP on PostgreSQL; a lookup among 1 to 1,000,000 values in the cache of a
process; a request to one of 10 to 1,000 routes through the whole application without a socket. Medians.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr

from contenders import RESTWELL, ROOT, SECRET, serving

# contenders sets the path of the following imports.
# isort: split
from chart import line_chart
from process_tree import clean_up_at_exit
from restwell import App, Restwell
from restwell.cache._memory import Entry, Memory
from restwell.cache._metrics import CacheStats
from restwell.database import open_database
from restwell.observability._logs import configure_logs
from restwell.settings import DatabaseSettings, JwtSettings, LogSettings, RateLimitSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Version, get
from results_file import save_result
from servers import postgres, restwell
from shop.app import MIGRATIONS
from shop_client import ShopClient
from workloads import add_users

LINES = (1, 2, 5, 10, 20, 50)
KEYS = (1, 100, 10_000, 100_000, 1_000_000)
ROUTES = (10, 100, 1_000)
SEED = 7


async def order_ms(url: str, counts: tuple[int, ...], repeats: int) -> list[float]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        buyer = await ShopClient(client).sign_in("buyer1@shop.example")
        items = (await client.get("/v1/products?limit=50")).json()["items"]
        found = []
        for count in counts:
            seconds = []
            for _ in range(repeats):
                began = time.perf_counter()
                response = await buyer.order(str(uuid4()), *((item["id"], 1) for item in items[:count]))
                seconds.append(time.perf_counter() - began)
                assert response.status_code == 201, response.text  # created
            found.append(statistics.median(seconds) * 1e3)
    return found


def order_lines(repeats: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        env = {"DATABASE_URL": server.url}
        for command in ("migrate", "seed"):
            restwell(command, cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
        add_users(server)
        with serving(RESTWELL, Path(folder), env) as one:
            asyncio.run(order_ms(one.url, (1,), repeats))
            return asyncio.run(order_ms(one.url, LINES, repeats))


def lookup_ns(repeats: int) -> list[float]:
    """The lookup time in nanoseconds, for each number of values."""
    found = []
    for count in KEYS:
        memory, values = Memory(1 << 40), CacheStats()
        for number in range(count):
            memory.put(Entry(f"product:{number}", number, (), 500, 0.0, 0.0, values))
        keys = [f"product:{number}" for number in range(count)]
        sampled_keys = random.Random(SEED).choices(keys, k=10_000)  # noqa: S311  # not a secret
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            for key in sampled_keys:
                memory.get(key)
            seconds.append(time.perf_counter() - began)
        found.append(statistics.median(seconds) / len(sampled_keys) * 1e9)
    return found


def with_routes(settings: Settings, count: int) -> App:
    def controller(number: int) -> type[Controller]:
        class Things(Controller):
            path = f"/things-{number}"

            @get("/{thing}")
            async def get_thing(self, thing: int) -> int:
                """Get a thing."""
                return thing

        return Things

    versions = [Version("/v1", [controller(number) for number in range(count)])]
    return Restwell(settings, name="things").app(versions, migrations=MIGRATIONS)


async def request_us(count: int, repeats: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            runtime_dir=Path(folder),
            log=LogSettings(level="warning"),
            rate_limit=RateLimitSettings(scale=1_000_000),
            database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder}/things.db")),
            jwt=JwtSettings(secret=SecretStr(SECRET)),
        )
        configure_logs(settings.log)
        async with open_database(settings.database.url.get_secret_value()):
            pass
        app = with_routes(settings, count)
        async with running(app):
            return await _time_requests(app, count, repeats)


async def _time_requests(app: Any, count: int, repeats: int) -> float:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    statuses = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        for number in range(500):
            path = f"/v1/things-{number % count}/7"
            scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode()}
            scope |= {"query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "scheme": "http"}
            scope |= {"headers": [(b"host", b"localhost")]}
            await app({**scope, "server": ("127.0.0.1", 80), "state": {}, "asgi": {"version": "3.0"}}, receive, send)
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(0)  # lets the watchdog tick
    assert set(statuses) == {200}
    return statistics.median(seconds) / 500 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    clean_up_at_exit()
    repeats = 5 if options.quick else 100
    measurements: dict[str, tuple[str, tuple[int, ...], Callable[[], list[float]]]] = {
        "order-lines": ("milliseconds, by lines", LINES, lambda: order_lines(repeats)),
        "cached-values": ("nanoseconds, by cached values", KEYS, lambda: lookup_ns(repeats)),
        "routes": (
            "microseconds per request, by routes",
            ROUTES,
            lambda: [asyncio.run(request_us(count, repeats)) for count in ROUTES],
        ),
    }
    for name, (unit, sizes, measure) in measurements.items():
        values = [round(one, 2) for one in measure()]
        print(name, unit, dict(zip(sizes, values, strict=True)), file=sys.stdout, flush=True)
        if options.quick:
            continue
        path = ROOT / "bench/results" / name
        save_result(path, unit, values=dict(zip(map(str, sizes), values, strict=True)))
        title = name.replace("-", " ").capitalize()
        path.with_suffix(".svg").write_text(line_chart(title, unit, [f"{one:,}" for one in sizes], {title: values}))


if __name__ == "__main__":
    main()
