"""A slow or dead network to the database: requests time out as configured, without leaks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api_client import Json
from order_load import Attempt, audit, buy_until, check_health_until, create_product, sign_in_customer
from processes import descendants_of
from restwell.testing import FaultProxy
from scoreboard import Score
from servers import RESTWELL, Postgres, Served, postgres, restwell, serving

BUYER_COUNT = 6
LIVE_SECONDS = 0.1
REQUEST_SECONDS = 5  # REQUEST_TIMEOUT_SECONDS, and SCOREBOARD D3


class ProxiedShop:
    """A shop, the proxy to its database, the database, and a product."""

    def __init__(self, shop: Served, proxy: FaultProxy, server: Postgres, product: Json, tokens: Json) -> None:
        self.shop, self.proxy, self.server, self.product, self.tokens = shop, proxy, server, product, tokens

    def buy(self, stop: float, run: str) -> "list[asyncio.Task[list[Attempt]]]":
        """Return signed-in buyers."""
        names = [f"{run} {number}" for number in range(BUYER_COUNT)]
        return [asyncio.create_task(buy_until(stop, self.shop.url, self.product, name, self.tokens)) for name in names]

    def open_files(self) -> int:
        """The number of open files and sockets of the workers."""
        return sum(
            len(list(Path(f"/proc/{process}/fd").iterdir())) for process in descendants_of(self.shop.process.pid)
        )


@asynccontextmanager
async def shop_behind_a_proxy(tmp_path: Path, server: Postgres) -> AsyncIterator[ProxiedShop]:
    environment = {"RESTWELL_APP": "shop.app:shop", "WORKERS": "2", "DATABASE_URL": server.url}
    for command in ("migrate", "seed"):
        assert restwell(command, cwd=tmp_path, **environment).returncode == 0
    async with FaultProxy(server.port) as proxy:
        environment["DATABASE_URL"] = server.url.replace(str(server.port), str(proxy.port))
        async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as shop:
            yield ProxiedShop(shop, proxy, server, await create_product(shop), await sign_in_customer(shop))


@pytest.fixture
async def proxied(tmp_path: Path, postgres_server: str) -> AsyncIterator[ProxiedShop]:
    assert postgres_server
    with postgres() as server:
        async with shop_behind_a_proxy(tmp_path, server) as made:
            yield made


def gathered(lists: list[list[Attempt]]) -> list[Attempt]:
    return [attempt for each in lists for attempt in each]


@pytest.mark.scoreboard("D2", "the database 500 ms away", "waits end in time; liveness at most 100 ms; no growth")
async def test_a_slow_database_makes_requests_slow_and_nothing_worse(proxied: ProxiedShop, score: Score) -> None:
    """Breaks when the wait for a connection is unlimited: the response is then request_timeout, not database_busy."""
    await asyncio.gather(*proxied.buy(time.monotonic() + 2, "warm"))
    before = proxied.open_files()
    proxied.proxy.delay_seconds = 0.25  # per direction
    stop = time.monotonic() + score.size(8, 30)
    buying = [task for run in ("one", "two", "three", "four", "five") for task in proxied.buy(stop, run)]
    longest_live = await check_health_until(stop, proxied.shop.url)
    attempts = gathered(await asyncio.gather(*buying))
    assert {attempt.status for attempt in attempts} <= {201, 503}
    slowest = max(attempt.seconds for attempt in attempts)
    assert slowest <= score.size(2 * REQUEST_SECONDS, REQUEST_SECONDS)  # the test process uses the same cores
    assert "database_busy" in {attempt.code for attempt in attempts}
    assert longest_live < score.size(3, LIVE_SECONDS)
    proxied.proxy.delay_seconds = 0
    await asyncio.sleep(3)
    after = gathered(await asyncio.gather(*proxied.buy(time.monotonic() + 2, "after")))
    assert {attempt.status for attempt in after} == {201}
    assert proxied.open_files() <= before + 4 * BUYER_COUNT
    await audit(proxied.server.url, proxied.product, attempts)
    codes = sorted({attempt.code for attempt in attempts} - {""})
    score.note(
        f"slowest {slowest:.1f} s, {', '.join(codes) or 'none refused'};"
        f" liveness {longest_live * 1_000:.0f} ms; open files {before} before, {proxied.open_files()} after"
    )


@pytest.mark.scoreboard(
    "D3", "a network black hole in front of the database", "every request ends within 5 s; nothing stuck after it"
)
async def test_a_black_hole_delays_no_request_beyond_its_timeout(proxied: ProxiedShop, score: Score) -> None:
    """Breaks without the request deadline and the driver timeout: requests then hang until the TCP timeout."""
    await asyncio.gather(*proxied.buy(time.monotonic() + 2, "warm"))
    before = proxied.open_files()
    stop = time.monotonic() + score.size(12, 60)
    buying = proxied.buy(stop, "during")
    living = asyncio.create_task(check_health_until(stop, proxied.shop.url))
    await asyncio.sleep(1)
    proxied.proxy.stall()
    attempts = gathered(await asyncio.gather(*buying))
    longest_live = await living
    proxied.proxy.resume()
    healed = time.monotonic()
    after = gathered(await asyncio.gather(*proxied.buy(healed + 6, "after")))
    back = min(attempt.at for attempt in after if attempt.status == 201) - healed
    assert {attempt.status for attempt in attempts} <= {201, 503}
    assert {attempt.status for attempt in after} <= {201, 503}
    slowest = max(attempt.seconds for attempt in attempts)
    assert slowest <= score.size(REQUEST_SECONDS + 1, REQUEST_SECONDS)  # the test process uses the same cores
    assert longest_live < score.size(4, LIVE_SECONDS)
    assert back < REQUEST_SECONDS
    assert {attempt.status for attempt in after if attempt.at > healed + 5} == {201}
    await asyncio.sleep(3)
    left = proxied.open_files()
    assert left <= before + 4 * BUYER_COUNT
    await audit(proxied.server.url, proxied.product, attempts + after)
    score.note(
        f"slowest {slowest:.1f} s, liveness {longest_live * 1_000:.0f} ms; back {back:.1f} s after it;"
        f" open files {before} before, {left} after"
    )
