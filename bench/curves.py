"""What one thing costs as another grows: ``python bench/curves.py`` measures the lines of an order, the answers that are kept and the routes.

An order of 1 to 50 lines on PostgreSQL, over HTTP, one after the other; finding one of 1 to 1,000,000 kept values in the process; a
request to one of 10 to 1,000 routes, through the whole application but for the socket. Medians, each beside the first.
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

from api_client import ApiClient
from chart import line_chart
from contenders import OURS, ROOT, SECRET, serving
from keep import keep
from restwell import App, Migrations, Restwell
from restwell.auth import Actor
from restwell.cache.memory import Entry, Memory
from restwell.cache.metrics import CacheStats
from restwell.database import open_database
from restwell.observability.logs import configure_logs
from restwell.settings import DatabaseSettings, JwtSettings, LogSettings, RateLimitSettings, Settings
from restwell.testing import running
from restwell.web import Controller, FromPath, Version, get
from servers import postgres, restwell
from works import add_people

LINES = (1, 2, 5, 10, 20, 50)
KEYS = (1, 100, 10_000, 100_000, 1_000_000)
ROUTES = (10, 100, 1_000)
SEED = 7


async def order_ms(url: str, counts: tuple[int, ...], repeats: int) -> list[float]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        buyer = await ApiClient(client).sign_in("buyer1@shop.example")
        items = (await client.get("/v1/products?limit=50")).json()["items"]
        found = []
        for count in counts:
            seconds = []
            for _ in range(repeats):
                began = time.perf_counter()
                answer = await buyer.order(str(uuid4()), *((item["id"], 1) for item in items[:count]))
                seconds.append(time.perf_counter() - began)
                assert answer.status_code == 201, answer.text  # created
            found.append(statistics.median(seconds) * 1e3)
    return found


def lines_of_an_order(repeats: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        env = {"DATABASE_URL": server.url}
        for command in ("migrate", "seed"):
            restwell(command, cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
        add_people(server)
        with serving(OURS, Path(folder), env) as one:
            asyncio.run(order_ms(one.url, (1,), repeats))
            return asyncio.run(order_ms(one.url, LINES, repeats))


def kept_values(repeats: int) -> list[float]:
    """In nanoseconds."""
    found = []
    for count in KEYS:
        memory, figures = Memory(1 << 40), CacheStats()
        for number in range(count):
            memory.put(Entry(f"product:{number}", number, (), 500, 0.0, 0.0, figures))
        chosen = random.Random(SEED).choices([f"product:{number}" for number in range(count)], k=10_000)  # noqa: S311  # no secret
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            for key in chosen:
                memory.get(key)
            seconds.append(time.perf_counter() - began)
        found.append(statistics.median(seconds) / len(chosen) * 1e9)
    return found


def with_routes(settings: Settings, count: int) -> App:
    def controller(number: int) -> type[Controller]:
        class Things(Controller):
            path = f"/things-{number}"

            @get("/{thing:int}")
            async def get_thing(self, thing: FromPath[int]) -> int:
                """Get a thing."""
                return thing

        return Things

    async def authenticate(_: str) -> Actor:
        raise NotImplementedError

    return Restwell(settings, name="things").app(
        version="1.0.0",
        description="Things.",
        versions=[Version("/v1", [controller(number) for number in range(count)])],
        provide=[],
        authenticate=authenticate,
        migrations=Migrations(ROOT / "migrations"),
    )


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
            return await _asked(app, count, repeats)


async def _asked(app: Any, count: int, repeats: int) -> float:
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
        await asyncio.sleep(0)  # for the watchdog: nothing of it waits
    assert set(statuses) == {200}
    return statistics.median(seconds) / 500 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    repeats = 5 if options.quick else 100
    curves: dict[str, tuple[str, tuple[int, ...], Callable[[], list[float]]]] = {
        "lines-of-an-order": ("milliseconds, by lines", LINES, lambda: lines_of_an_order(repeats)),
        "kept-values": ("nanoseconds, by values that are kept", KEYS, lambda: kept_values(repeats)),
        "routes": (
            "microseconds a request, by routes",
            ROUTES,
            lambda: [asyncio.run(request_us(count, repeats)) for count in ROUTES],
        ),
    }
    for name, (unit, sizes, measure) in curves.items():
        figures = [round(one, 2) for one in measure()]
        print(name, unit, dict(zip(sizes, figures, strict=True)), file=sys.stdout, flush=True)
        if options.quick:
            continue
        place = ROOT / "bench/results" / name
        keep(place, unit, figures=dict(zip(map(str, sizes), figures, strict=True)))
        title = name.replace("-", " ").capitalize()
        place.with_suffix(".svg").write_text(line_chart(title, unit, [f"{one:,}" for one in sizes], {title: figures}))


if __name__ == "__main__":
    main()
