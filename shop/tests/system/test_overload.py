"""A3: overload with five times the capacity."""

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from load import Load, LoadResult
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serving
from shop_client import ShopClient

CONNECTIONS = 1_500
AT_PEAK = 16
TIMES = 5


@pytest.fixture
async def shop(tmp_path: Path, empty_url: str) -> AsyncIterator[Served]:
    settings = {
        "DATABASE_URL": empty_url,
        "RESTWELL_APP": "shop.app:shop",
        "RATE_LIMIT_SCALE": "0",
        "LOG_FORMAT": "json",
        "KEEPALIVE_SECONDS": "60",  # a busy machine may leave a connection without a request for the default of ten
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
        yield served


def percentile(seconds: Sequence[float], part: float) -> float:
    return sorted(seconds)[int(len(seconds) * part)]


async def peak_of(load: Load, seconds: float) -> float:
    """Orders per second in a closed loop."""
    return sum(one.status == 201 for one in await load.run_closed(AT_PEAK, seconds)) / seconds


@pytest.mark.scoreboard(
    "A3",
    "5x overload for 60 s",
    "goodput >= 80% of peak; accepted p99 <= 1 s; rejections <= 100 ms with Retry-After",
)
async def test_admitted_requests_keep_their_latency_under_overload(shop: Served, score: Score) -> None:
    """Orders at a fixed rate against one worker.

    The load generator and other tests run on the same machine, which lowers the bounds of the small run. Broken build
    that was seen to fail, also in a small run: no limit, so no request is refused.
    """
    async with httpx.AsyncClient(base_url=shop.url, timeout=20) as client:
        admin = await ShopClient(client).sign_in("admin@shop.example")
        draft = {"name": "Lamp", "category": "home", "price_cents": 1, "currency": "EUR", "stock": 10**8}
        product = (await admin.send("POST", "/v1/products", draft)).json()
        buyer = await ShopClient(client).sign_in("customer1@shop.example")
    body = json.dumps({"items": [{"product_id": product["id"], "quantity": 1}]}).encode()
    numbers = itertools.count()

    def order() -> bytes:
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {buyer.tokens['access_token']}\r\n"
            f"Idempotency-Key: {next(numbers)}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    load = Load(int(shop.url.rpartition(":")[2]), order)
    await load.connect(AT_PEAK)
    try:
        before = await peak_of(load, score.size(2, 10))
        await load.connect(
            CONNECTIONS - AT_PEAK
        )  # only now: the server closes a connection that is idle for ten seconds
        seconds = score.size(5, 60)
        responses = await load.run(TIMES * before, seconds)
        broken = load.broken
        peak = (before + await peak_of(load, score.size(2, 10))) / 2  # the speed of the machine varies
    finally:
        load.close()
    accepted = [one.seconds for one in responses if one.status == 201]
    refused: list[LoadResult] = [one for one in responses if one.status != 201]
    assert accepted, "no request was accepted"
    assert refused, "no request was rejected"
    goodput, took = len(accepted) / seconds / peak, [one.seconds for one in refused]
    score.note(
        f"{len(responses):,} of {TIMES * before * seconds:,.0f} sent answered: goodput {goodput:.0%} of {peak:.0f}/s;"
        f" accepted p99 {percentile(accepted, 0.99) * 1e3:.0f} ms;"
        f" refused within {percentile(took, 0.99) * 1e3:.0f} ms (p99),"
        f" {max(took) * 1e3:.0f} ms (all)"
    )
    assert {one.status for one in refused} == {503}
    assert all(one.retry_after for one in refused)
    assert broken == 0
    assert goodput >= score.size(0.1, 0.8)
    assert percentile(accepted, 0.99) <= score.size(6, 1)  # a busy machine delays both
    assert percentile(took, 0.99) <= score.size(3, 0.1)
