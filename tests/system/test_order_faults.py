"""O1 and O2: a crowd buys what is scarce, repeats itself, is cut off, and every order and every charge is there once."""

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

import apsw
import httpx
import pytest
from sqlalchemy import func, select

from api_client import ApiClient, Json
from order_load import http_client
from restwell.database import open_database, param, query
from scoreboard import Score
from servers import RESTWELL, Served, children_of, restwell, serving, working
from shop.orders.models import idempotency, order_lines, orders
from shop.products.models import products

ACCOUNTS = 8
AT_ONCE = 32
SETTLED_SECONDS = 60
TRIES = 300
PATIENCE = (0.02, 0.1, 1)
"""So many seconds a buyer waits, the first time, the second, and then: less than many an answer takes."""

_sold = query(
    "audit.orders",
    select(orders.c.id)
    .join(order_lines, (order_lines.c.user_id == orders.c.user_id) & (order_lines.c.order_id == orders.c.id))
    .where(order_lines.c.product_id == param("id"), orders.c.status == param("status")),
    into=UUID,
)
_stock = query("audit.left", select(products.c.stock).where(products.c.id == param("id")), into=int)
_keys = query("audit.keys", select(func.count().label("n")).select_from(idempotency.table), into=int)


class Shop:
    """The served shop, its database and its gateway."""

    def __init__(self, served: Served, settings: dict[str, str], payments_file: Path) -> None:
        self.served = served
        self.settings = settings
        self.payments_file = payments_file

    async def product(self, stock: int) -> Json:
        async with http_client(self.served.url) as client:
            admin = await ApiClient(client).sign_in("admin@shop.example")
            draft = {"name": "Rare", "category": "toys", "price_cents": 700, "currency": "EUR", "stock": stock}
            made: Json = (await admin.send("POST", "/v1/products", draft)).json()
            return made

    async def accounts(self, count: int) -> list[Json]:
        """The tokens of so many customers."""
        people = []
        async with http_client(self.served.url) as client:
            for number in range(count):
                account = {"email": f"buyer{number}@shop.example", "password": "an entirely new one", "name": "Buyer"}
                assert (await client.post("/v1/users", json=account)).status_code == 201
                people.append((await ApiClient(client).sign_in(account["email"], account["password"])).tokens)
        return people

    async def sold(self, product: Json, status: str) -> list[str]:
        async with open_database(self.settings["DATABASE_URL"], 1) as database:
            return [str(one) for one in await database.all(_sold, id=UUID(product["id"]), status=status)]

    async def left(self, product: Json) -> tuple[int, int]:
        """Its stock, and how many keys there are."""
        async with open_database(self.settings["DATABASE_URL"], 1) as database:
            return await database.one(_stock, id=UUID(product["id"])), await database.one(_keys)

    def charges(self) -> dict[str, list[int]]:
        """All money that was moved, by order."""
        found: dict[str, list[int]] = {}
        for text, amount in apsw.Connection(str(self.payments_file)).execute(
            "SELECT description, movements.amount_cents FROM movements JOIN intents ON intents.id = intent_id"
        ):
            found.setdefault(str(text).removeprefix("Order "), []).append(amount)
        return found


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


async def insist(client: httpx.AsyncClient, tokens: Json, key: str, product: Json) -> tuple[int, str]:
    """One buyer: the same request with the same key until there is an answer that says what came of it."""
    buyer = ApiClient(client)
    buyer.tokens = tokens
    for attempt in range(TRIES):
        with suppress(httpx.TransportError, TimeoutError):
            async with asyncio.timeout(PATIENCE[min(attempt, len(PATIENCE) - 1)]):
                answer = await buyer.order(key, (product["id"], 1))
            if answer.status_code == 201:
                return 201, str(answer.json()["id"])
            if answer.json()["code"] != "idempotency_key_in_flight" and answer.status_code < 500:
                return answer.status_code, str(answer.json()["code"])
        await asyncio.sleep(0.1)
    raise AssertionError(f"{key} never got an answer")


async def kill_now_and_then(shop: Shop, buying: "asyncio.Future[Any]") -> int:
    """One of the processes that answer, as out of memory would. Returns how many."""
    killed = 0
    while not buying.done():
        await asyncio.sleep(0.7)
        if workers := children_of(shop.served.process.pid):
            with suppress(ProcessLookupError):
                os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.scoreboard("O1", "2,000 buyers, 100 units, retries, timeouts, kills", "exactly 100 sold; I1-I3")
async def test_a_scarce_product_is_sold_once_and_paid_once(shop: Shop, tmp_path: Path, score: Score) -> None:
    """Broken builds that were seen to fail: no idempotency row; a payment of its own for each attempt to charge.

    Every fifth answer of the gateway is lost, and clients give up soon and ask again.
    """
    units, buyers = score.size((40, 240), (100, 2_000))
    product = await shop.product(units)
    accounts = await shop.accounts(ACCOUNTS)
    loud = {**shop.settings, "LOG_LEVEL": "info"}  # it says when it is ready
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=shop.served.url, timeout=20) as client:

        async def buy(number: int) -> tuple[int, str]:
            async with gate:
                return await insist(client, accounts[number % ACCOUNTS], f"buyer {number}", product)

        with working(tmp_path, "--queues", "payments", cwd=tmp_path, **loud) as worker:
            buying = asyncio.ensure_future(asyncio.gather(*(buy(number) for number in range(buyers))))
            killed, results = await asyncio.gather(kill_now_and_then(shop, buying), buying)
            if score.size(small=False, full=True):
                worker.process.kill()
        with working(tmp_path, "--queues", "payments", cwd=tmp_path, **loud):
            deadline = time.monotonic() + SETTLED_SECONDS
            while await shop.sold(product, "pending"):
                assert time.monotonic() < deadline, "an order was never settled"
                await asyncio.sleep(0.2)
    told = Counter(status for status, _ in results)
    paid = await shop.sold(product, "paid")
    stock, keys = await shop.left(product)
    assert (len(paid), stock, keys) == (units, 0, units), "I1, I2: sold, left, and keys that have an order"
    assert {order for status, order in results if status == 201} <= set(paid), "I4: who was told has it"
    assert {reason for status, reason in results if status != 201} <= {"out_of_stock"}
    assert shop.charges() == {order: [700] for order in paid}, "I3: each is charged once"
    score.note(
        f"{buyers:,} buyers, {killed} processes killed: {len(paid)} sold, {stock} left, {len(shop.charges())} charges,"
        f" {told[201]} told so, {told[409]} that it is gone"
    )


@pytest.mark.scoreboard(
    "O2", "one key x100 concurrent x 200 keys", "1 order each; replay or 409; changed body always 422"
)
async def test_concurrent_requests_with_one_key_make_one_order(shop: Shop, score: Score) -> None:
    """Broken builds that were seen to fail: no idempotency row; the request is not compared."""
    keys, times = score.size((12, 40), (200, 100))
    product = await shop.product(keys * 2)
    (tokens,) = await shop.accounts(1)
    statuses: Counter[int] = Counter()
    replays = 0
    async with http_client(shop.served.url) as client:
        buyer = ApiClient(client)
        buyer.tokens = tokens
        for number in range(keys):
            answers = await asyncio.gather(*(buyer.order(f"key {number}", (product["id"], 1)) for _ in range(times)))
            statuses.update(answer.status_code for answer in answers)
            made = [answer for answer in answers if answer.status_code == 201]
            assert len({answer.json()["id"] for answer in made}) == 1
            assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
            refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
            assert refused <= {"idempotency_key_in_flight", "overloaded"}, "the second on a machine that is busy"
            replays += len(made) - 1
            changed = await buyer.order(f"key {number}", (product["id"], 2))
            assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    assert (len(await shop.sold(product, "pending")), await shop.left(product)) == (keys, (keys, keys))
    score.note(f"{keys} orders of {keys * times:,} requests, {replays:,} replays, {statuses[409]} told to wait")
