"""X1: the catalogue is another service, which is killed, paused and cut off during orders."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec import Struct
from sqlalchemy import column, func, select, table, update

from api_client import Json
from order_load import charges_in, http_client
from processes import READY_SECONDS, children_of
from restwell.database import open_database, param, query
from restwell.testing import FaultProxy
from scoreboard import Score
from servers import RESTWELL, Served, free_port, restwell, serving, working
from shop.orders.models import OrderStatus, orders
from shop.products.models import products, reservations
from shop.products.stock import ReservedItem
from shop_client import ShopClient, product_with
from two_services import stock_key

T = TypeVar("T")


class Reservation(Struct, frozen=True):
    id: UUID
    lines: str
    expires_at: datetime | None


STOCK, PRICE = 100_000, 700
BUYERS = 4
TIMEOUT_SECONDS = "4"
"""Of a request to the orders. A call to the catalogue has half of it."""

_orders = query("audit.of_status", select(orders.c.id).where(orders.c.status == param("status")), into=UUID)
_keys = query("audit.keys", select(func.count().label("n")).select_from(table("idempotency_keys")), into=int)
_jobs = table("jobs", column("queue"), column("state"), column("run_at"), column("enqueued_at"))
_retry_now = query(
    "audit.retry_now", update(_jobs).where(_jobs.c.state == "scheduled").values(run_at=_jobs.c.enqueued_at)
)
_unfinished = query(
    "audit.unfinished",
    select(func.count().label("n"))
    .select_from(_jobs)
    .where(_jobs.c.queue == "payments", *(_jobs.c.state != ended for ended in ("done", "cancelled", "dead"))),
    into=int,
)
_stock = query("audit.stock", select(products.c.stock).where(products.c.id == param("id")), into=int)
_reserved = query("audit.reserved", select(reservations), into=Reservation)


class Log:
    """What the buyers were told: their orders, and how often each status came."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.cancelled: list[str] = []
        self.statuses: Counter[int] = Counter()

    async def wait_for(self, more: int, count: Callable[[], int]) -> None:
        """Wait until there are so many more."""
        wanted, ends = count() + more, time.monotonic() + READY_SECONDS
        while count() < wanted:
            assert time.monotonic() < ends, f"{self.statuses}: no order, or no refusal"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def in_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """The proxy is in the event loop, which must go on."""
    entered = await asyncio.to_thread(context.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def buy(client: httpx.AsyncClient, name: str, product: Json, log: Log, done: asyncio.Event) -> None:
    """Order with one key after the other, each until it is accepted. Every fourth order is cancelled."""
    buyer = await ShopClient(client).sign_in("customer1@shop.example")
    number = 0
    while not done.is_set():
        number += 1
        while (answer := await buyer.order(f"{name} {number}", (product["id"], 1))).status_code != 201:
            assert answer.status_code == 503 or answer.json()["code"] == "idempotency_key_in_flight", answer.text
            log.statuses[answer.status_code] += 1
            await asyncio.sleep(0.05)
        log.statuses[201] += 1
        order_id = answer.json()["id"]
        log.placed.append(order_id)
        if number % 4 == 0:
            path = f"/v1/orders/{order_id}/cancellation"
            while (await buyer.send("POST", path)).status_code != 200:
                await asyncio.sleep(0.05)
            log.cancelled.append(order_id)


async def break_it(catalogue: Served, proxy: FaultProxy, log: Log) -> None:
    """One fault after the other. Each lasts until orders were refused, and the next begins after orders were placed."""

    async def placed() -> None:
        await log.wait_for(5, lambda: log.statuses[201])

    async def refused() -> None:
        await log.wait_for(3, lambda: log.statuses[503])

    async def signal_workers(number: signal.Signals) -> None:
        for pid in children_of(catalogue.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    await placed()
    await signal_workers(signal.SIGKILL)
    await placed()
    await signal_workers(signal.SIGSTOP)
    await refused()
    await signal_workers(signal.SIGCONT)
    await placed()
    proxy.stall()
    await refused()
    proxy.resume()
    await placed()
    proxy.responses_to_lose = 2
    await placed()


@pytest.mark.scoreboard(
    "X1",
    "catalogue as a service killed, paused, cut off during orders, answers lost",
    "I1-I4 hold; orders 503 or done, never half",
)
async def test_orders_are_refused_or_complete_while_the_catalogue_fails(
    tmp_path: Path, empty_url: str, score: Score
) -> None:
    """Fails if a repeated reservation takes stock again, if an order is stored after a failed reservation, or if one
    that is paid is not confirmed.
    """
    own, port = tmp_path / "catalogue", free_port()
    own.mkdir()
    common = {"RESTWELL_APP": "shop.app:shop", "LOG_LEVEL": "warning"}
    of_catalogue = {**common, "DATABASE_URL": f"sqlite:///{own / 'catalogue.db'}", "GRPC_PORT": str(port)}
    of_orders = {
        **common,
        "DATABASE_URL": empty_url,
        "PAYMENTS_URL": f"fake:///{tmp_path / 'payments.db'}",
        "REQUEST_TIMEOUT_SECONDS": TIMEOUT_SECONDS,
    }
    for settings in (of_catalogue, of_orders):
        for command in ("migrate", "seed"):
            (await asyncio.to_thread(restwell, command, cwd=tmp_path, **settings)).check_returncode()
    log, done = Log(), asyncio.Event()
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(serving(own, RESTWELL, "serve", cwd=own, **of_catalogue))
        proxy = await stack.enter_async_context(FaultProxy(port))
        async with http_client(catalogue.url) as client:
            admin = await ShopClient(client).sign_in("admin@shop.example")
            product = await product_with(admin, STOCK, price_cents=PRICE)
            of_orders["CATALOGUE_URL"] = f"grpc://{await stock_key(admin)}@127.0.0.1:{proxy.port}"
        served = await stack.enter_async_context(serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **of_orders))
        payments = working(tmp_path, "--queues", "payments", cwd=tmp_path, **{**of_orders, "LOG_LEVEL": "info"})
        await stack.enter_async_context(in_thread(payments))
        client = await stack.enter_async_context(http_client(served.url))
        async with asyncio.TaskGroup() as group:
            for number in range(BUYERS):
                group.create_task(buy(client, f"buyer {number}", product, log, done))
            for _ in range(score.size(1, 10)):
                await break_it(catalogue, proxy, log)
            done.set()
        await settled(of_orders["DATABASE_URL"])
    paid, keys = await outcome(empty_url, log)
    lost = await audit_catalogue(of_catalogue["DATABASE_URL"], product, paid)
    assert keys == len(log.placed), "I2: one order for each key"
    charges = charges_in(tmp_path / "payments.db")
    assert {order for order, amounts in charges.items() if sum(amounts)} == paid, "I3: who is charged"
    assert all(charges[order] == [PRICE] for order in paid), "I3: each is charged once"
    score.note(
        f"{score.size(4, 40)} faults: {len(log.placed):,} orders, {log.statuses[503]} refused with 503,"
        f" {len(log.cancelled)} cancelled; {len(paid):,} paid, each with its stock and one charge; 0 half, 0 oversold;"
        f" {lost} reservations without an order, which expire"
    )


async def settled(url: str) -> None:
    """Wait until all jobs of the orders are done. Their backoff after a fault may be a minute."""
    ends = time.monotonic() + READY_SECONDS
    async with open_database(url, 1) as database:
        while await database.one(_unfinished):
            assert time.monotonic() < ends, "an order was not settled"
            await database.run(_retry_now)
            await asyncio.sleep(0.2)


async def outcome(url: str, log: Log) -> tuple[set[str], int]:
    """The paid orders, and the number of keys. Asserts I4, and that no order is between two states."""
    async with open_database(url, 1) as database:
        found = {status: set(map(str, await database.all(_orders, status=status.value))) for status in OrderStatus}
        keys = await database.one(_keys)
    stored = set().union(*found.values())
    assert set(log.placed) == stored, "I4: the acknowledged orders are those that are stored"
    assert set(log.cancelled) == found[OrderStatus.CANCELLED]
    assert not found[OrderStatus.PENDING] | found[OrderStatus.FAILED]
    return found[OrderStatus.PAID], keys


async def audit_catalogue(url: str, product: Json, paid: set[str]) -> int:
    """Assert I1, and that paid orders and no others have stock for good. Returns the number of lost reservations."""
    async with open_database(url, 1) as database:
        stock = await database.one(_stock, id=UUID(product["id"]))
        found = await database.all(_reserved)
    confirmed = {str(each.id) for each in found if each.expires_at is None}
    assert confirmed == paid, "a paid order has its stock, and no other order has any for good"
    items = [item for each in found for item in msgspec.json.decode(each.lines, type=list[ReservedItem])]
    assert stock + sum(item.quantity for item in items) == STOCK, "I1: what is left, and what is reserved"
    return len(found) - len(confirmed)
