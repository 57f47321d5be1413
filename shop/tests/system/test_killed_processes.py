"""A1: processes of the API are killed while customers order."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from api_client import Json
from order_load import Attempt, audit, buy_for, charges_in, create_product, http_client, sign_in_customer
from processes import children_of
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serving, wait_until, working
from shop_client import ShopClient


@pytest.fixture
def settings(tmp_path: Path, empty_url: str) -> dict[str, str]:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    settings = {
        "DATABASE_URL": empty_url,
        "RESTWELL_APP": "shop.app:shop",
        "WORKERS": "2",
        "METRICS_DIR": str(metrics),
        "PAYMENTS_URL": f"fake:///{tmp_path / 'payments.db'}",
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    return settings


@pytest.fixture
async def shop(tmp_path: Path, settings: dict[str, str]) -> AsyncIterator[Served]:
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
        yield served


async def kill_one(shop: Served, metrics: Path, number: int) -> float:
    """Kill a worker. Returns the seconds until another one has started, which then publishes its metrics."""

    def started() -> set[int]:
        return {pid for pid in children_of(shop.process.pid) if any(metrics.glob(f"{pid}-*.metrics"))}

    before = started()
    os.kill(sorted(before)[number % len(before)], signal.SIGKILL)
    began = time.monotonic()
    while not started() - before:
        assert time.monotonic() < began + 30, shop.output
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def repeat_unanswered(shop: Served, product: Json, tokens: Json, attempts: list[Attempt]) -> int:
    """Send the orders without an answer again, with their keys; each is then answered as it was, or made. The count."""
    unanswered = [attempt for attempt in attempts if not attempt.status]
    async with http_client(shop.url) as client:
        buyer = ShopClient(client)
        buyer.tokens = tokens
        for attempt in unanswered:
            answer = await buyer.order(attempt.key, (product["id"], 1))
            assert answer.status_code == 201
            attempt.status, attempt.order_id = 201, answer.json()["id"]
    return len(unanswered)


@pytest.mark.scoreboard("A1", "kill -9 an API process x50 during orders", "I1-I4: 0 violations; respawn <= 2 s")
async def test_orders_survive_killed_processes(
    shop: Served, settings: dict[str, str], tmp_path: Path, score: Score
) -> None:
    """Fails if the idempotency row is written outside the order's transaction, or if Granian respawns no worker."""
    kills = score.size(2, 50)
    tokens = await sign_in_customer(shop)
    product = await create_product(shop)
    times: list[float] = []
    attempts: list[Attempt] = []
    for number in range(kills):
        bought, seconds = await asyncio.gather(
            buy_for(1, shop.url, product, f"kill {number}", tokens),
            kill_one(shop, Path(settings["METRICS_DIR"]), number),
        )
        attempts += bought
        times.append(seconds)
    assert {attempt.status for attempt in attempts} <= {0, 201, 503}, "0 is a worker that was killed meanwhile"
    repeated = await repeat_unanswered(shop, product, tokens, attempts)
    orders = await audit(settings["DATABASE_URL"], product, attempts)
    assert orders == sum(attempt.status == 201 for attempt in attempts), "I2: each key has at most one order"
    payments_file = tmp_path / "payments.db"

    def all_charged() -> bool:
        with suppress(apsw.SQLError):  # the gateway has no tables before its first payment
            return len(charges_in(payments_file)) >= orders
        return False

    with working(tmp_path, "--queues", "payments", cwd=tmp_path, **settings) as worker:
        wait_until(all_charged, worker.process, worker)
    assert set(map(len, charges_in(payments_file).values())) == {1}, "I3: each order is charged once"
    assert max(times) <= score.size(10.0, 2.0)
    score.note(
        f"{kills} kills, {orders:,} orders, {repeated} of them cut off and repeated: 0 lost, 0 doubled, each charged"
        f" once; replaced within {max(times):.1f} s"
    )
