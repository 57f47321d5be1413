"""O1 and O2: concurrent orders with retries, timeouts and killed processes are stored and charged once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import column, func, select, table, update

from api_client import Json
from order_load import charges_in, http_client
from processes import children_of
from restwell.database import open_database, param, query
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serving, working
from shop.orders.models import order_lines, orders
from shop.products.models import products
from shop_client import ShopClient

ACCOUNTS = 8
CONCURRENCY = 32
SETTLED_SECONDS = 60
MAX_ATTEMPTS = 300
TIMEOUTS = (0.02, 0.1, 1, 10)  # the last one for a busy machine
"""Client timeouts in seconds of the first, second and later attempts. Many responses take longer."""

_sold = query(
    "audit.orders",
    select(orders.c.id)
    .join(order_lines, (order_lines.c.user_id == orders.c.user_id) & (order_lines.c.order_id == orders.c.id))
    .where(order_lines.c.product_id == param("id"), orders.c.status == param("status")),
    into=UUID,
)
_stock = query("audit.stock", select(products.c.stock).where(products.c.id == param("id")), into=int)
_jobs = table("jobs", column("state"), column("run_at"), column("enqueued_at"))
_retry_now = query(
    "audit.retry_now", update(_jobs).where(_jobs.c.state == "scheduled").values(run_at=_jobs.c.enqueued_at)
)
_keys = query("audit.keys", select(func.count().label("n")).select_from(table("idempotency_keys")), into=int)


class Shop:
    """The served shop, its database and its gateway."""

    def __init__(self, served: Served, settings: dict[str, str], payments_file: Path) -> None:
        self.served = served
        self.settings = settings
        self.payments_file = payments_file

    async def product(self, stock: int) -> Json:
        async with http_client(self.served.url) as client:
            admin = await ShopClient(client).sign_in("admin@shop.example")
            draft = {"name": "Rare", "category": "toys", "price_cents": 700, "currency": "EUR", "stock": stock}
            made: Json = (await admin.send("POST", "/v1/products", draft)).json()
            return made

    async def accounts(self, count: int) -> list[Json]:
        """Register customers. Returns their tokens."""
        tokens = []
        async with http_client(self.served.url) as client:
            for number in range(count):
                account = {"email": f"buyer{number}@shop.example", "password": "an entirely new one", "name": "Buyer"}
                assert (await client.post("/v1/users", json=account)).status_code == 201
                tokens.append((await ShopClient(client).sign_in(account["email"], account["password"])).tokens)
        return tokens

    async def sold(self, product: Json, status: str) -> list[str]:
        async with open_database(self.settings["DATABASE_URL"], 1) as database:
            return [str(one) for one in await database.all(_sold, id=UUID(product["id"]), status=status)]

    async def retry_now(self) -> None:
        """Make every failed job due: the backoff of a job that failed six times is up to a minute."""
        async with open_database(self.settings["DATABASE_URL"], 1) as database:
            await database.run(_retry_now)

    async def stock_and_keys(self, product: Json) -> tuple[int, int]:
        """Return the stock and the number of idempotency keys."""
        async with open_database(self.settings["DATABASE_URL"], 1) as database:
            return await database.one(_stock, id=UUID(product["id"])), await database.one(_keys)

    def charges(self) -> dict[str, list[int]]:
        return charges_in(self.payments_file)


@pytest.fixture
async def shop(tmp_path: Path, empty_url: str) -> AsyncIterator[Shop]:
    payments_file = tmp_path / "payments.db"
    settings = {
        "DATABASE_URL": empty_url,
        "RESTWELL_APP": "shop.app:shop",
        "WORKERS": "2",
        "PAYMENTS_URL": f"fake:///{payments_file}?loss_rate=0.2",
        "LOG_LEVEL": "warning",
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
        yield Shop(served, settings, payments_file)


async def order_until_final(client: httpx.AsyncClient, tokens: Json, key: str, product: Json) -> tuple[int, str]:
    """Retry a request with the same key until a response with a final outcome arrives."""
    buyer = ShopClient(client)
    buyer.tokens = tokens
    for attempt in range(MAX_ATTEMPTS):
        with suppress(httpx.TransportError, TimeoutError):
            async with asyncio.timeout(TIMEOUTS[min(attempt, len(TIMEOUTS) - 1)]):
                answer = await buyer.order(key, (product["id"], 1))
            if answer.status_code == 201:
                return 201, str(answer.json()["id"])
            if answer.json()["code"] != "idempotency_key_in_flight" and answer.status_code < 500:
                return answer.status_code, str(answer.json()["code"])
        await asyncio.sleep(0.1)
    raise AssertionError(f"no final response for {key}")


async def kill_workers(shop: Shop, buying: "asyncio.Future[Any]") -> int:
    """Kill a worker process every 0.7 s, if both have had time to start. Returns the number of kills."""
    killed = 0
    first_seen: dict[int, float] = {}
    while not buying.done():
        await asyncio.sleep(0.7)
        now = time.monotonic()
        workers = [pid for pid in children_of(shop.served.process.pid) if now - first_seen.setdefault(pid, now) > 2]
        if len(workers) > 1:  # on a busy machine, no request would be answered otherwise
            with suppress(ProcessLookupError):
                os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.scoreboard("O1", "2,000 buyers, 100 units, retries, timeouts, kills", "exactly 100 sold; I1-I3")
async def test_a_scarce_product_is_never_oversold_and_each_order_is_charged_once(
    shop: Shop, tmp_path: Path, score: Score
) -> None:
    """Fails without the idempotency row, or if each attempt to charge creates a new payment.

    The gateway loses every fifth response, and clients time out early and retry.
    """
    units, buyers = score.size((40, 240), (100, 2_000))
    product = await shop.product(units)
    accounts = await shop.accounts(ACCOUNTS)
    worker_settings = {**shop.settings, "LOG_LEVEL": "info"}  # logs when it is ready
    slots = asyncio.Semaphore(CONCURRENCY)
    async with httpx.AsyncClient(base_url=shop.served.url, timeout=20) as client:

        async def buy(number: int) -> tuple[int, str]:
            async with slots:
                return await order_until_final(client, accounts[number % ACCOUNTS], f"buyer {number}", product)

        with working(tmp_path, "--queues", "payments", cwd=tmp_path, **worker_settings) as worker:
            buying = asyncio.ensure_future(asyncio.gather(*(buy(number) for number in range(buyers))))
            killed, results = await asyncio.gather(kill_workers(shop, buying), buying)
            if score.size(small=False, full=True):
                worker.process.kill()
        with working(tmp_path, "--queues", "payments", cwd=tmp_path, **worker_settings):
            deadline = time.monotonic() + SETTLED_SECONDS
            while await shop.sold(product, "pending"):
                assert time.monotonic() < deadline, "an order was not settled"
                await shop.retry_now()
                await asyncio.sleep(0.2)
    responses = Counter(status for status, _ in results)
    paid = await shop.sold(product, "paid")
    stock, keys = await shop.stock_and_keys(product)
    assert (len(paid), stock, keys) == (units, 0, units), "I1, I2: sold, left, and keys with an order"
    assert {order for status, order in results if status == 201} <= set(paid), "I4: acknowledged orders are stored"
    assert {reason for status, reason in results if status != 201} <= {"out_of_stock"}
    assert shop.charges() == {order: [700] for order in paid}, "I3: each is charged once"
    score.note(
        f"{buyers:,} buyers, {killed} processes killed: {len(paid)} sold, {stock} left, {len(shop.charges())} charges,"
        f" {responses[201]} responses 201, {responses[409]} out of stock"
    )


@pytest.mark.scoreboard(
    "O2", "one key x100 concurrent x 200 keys", "1 order each; replay or 409; changed body always 422"
)
async def test_concurrent_requests_with_one_key_create_one_order(shop: Shop, score: Score) -> None:
    """Fails without the idempotency row, or if the request body is not compared."""
    keys, times = score.size((12, 40), (200, 100))
    product = await shop.product(keys * 2)
    (tokens,) = await shop.accounts(1)
    statuses: Counter[int] = Counter()
    replays = 0
    async with http_client(shop.served.url) as client:
        buyer = ShopClient(client)
        buyer.tokens = tokens
        for number in range(keys):
            answers = await asyncio.gather(*(buyer.order(f"key {number}", (product["id"], 1)) for _ in range(times)))
            statuses.update(answer.status_code for answer in answers)
            made = [answer for answer in answers if answer.status_code == 201]
            assert len({answer.json()["id"] for answer in made}) == 1
            assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
            refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
            assert refused <= {"idempotency_key_in_flight", "overloaded"}, "overloaded: on a busy machine"
            replays += len(made) - 1
            changed = await buyer.order(f"key {number}", (product["id"], 2))
            assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    assert (len(await shop.sold(product, "pending")), await shop.stock_and_keys(product)) == (keys, (keys, keys))
    score.note(f"{keys} orders of {keys * times:,} requests, {replays:,} replays, {statuses[409]} in flight")
