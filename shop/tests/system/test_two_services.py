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


class StoredJob(Struct, frozen=True):
    name: str
    state: str
    arguments: str


STOCK, PRICE = 100_000, 700
BUYERS = 4
TIMEOUT_SECONDS = "4"
"""Of a request to the orders. A call to the catalogue has half of it."""

_orders = query("audit.of_status", select(orders.c.id).where(orders.c.status == param("status")), into=UUID)
_keys = query("audit.keys", select(func.count().label("n")).select_from(table("idempotency_keys")), into=int)
_jobs = table("jobs", *map(column, ("name", "queue", "state", "arguments", "run_at", "enqueued_at")))
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
_all_jobs = query("audit.jobs", select(_jobs.c.name, _jobs.c.state, _jobs.c.arguments), into=StoredJob)
_stock = query("audit.stock", select(products.c.stock).where(products.c.id == param("id")), into=int)
_reserved = query("audit.reserved", select(reservations), into=Reservation)


class Log:
    """What the buyers were told: their orders, how often each status came, and the reads that were stale."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.kept: list[str] = []
        self.cancelling: list[str] = []
        self.cancelled: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.reads = 0
        self.stale: list[str] = []

    def read(self, what: str, *, stale: bool) -> None:
        self.reads += 1
        if stale:
            self.stale.append(what)

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


async def sign_in(client: httpx.AsyncClient, user: str) -> ShopClient:
    """Sign in; again, if the password takes a busy machine longer than a request may."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with suppress(AssertionError):
                return await ShopClient(client).sign_in(f"{user}@shop.example")
            await asyncio.sleep(0.1)


async def ask(buyer: ShopClient, method: str, path: str) -> Json:
    """Repeat the request until it is answered with 200: on a busy machine it may be refused."""
    async with asyncio.timeout(READY_SECONDS):
        while (answer := await buyer.send(method, path)).status_code != 200:
            await asyncio.sleep(0.05)
    body: Json = answer.json()
    return body


async def buy(buyer: ShopClient, name: str, product: Json, log: Log, done: asyncio.Event) -> None:
    """Order with one key after the other, each until it is accepted, and read it. Every fourth order is cancelled."""
    number = 0
    while not done.is_set():
        number += 1
        while (answer := await buyer.order(f"{name} {number}", (product["id"], 1))).status_code != 201:
            refusals = {"idempotency_key_in_flight", "request_timeout"}  # the second on a busy machine
            assert answer.status_code == 503 or answer.json()["code"] in refusals, answer.text
            log.statuses[answer.status_code] += 1
            await asyncio.sleep(0.05)
        log.statuses[201] += 1
        order = answer.json()["id"]
        log.placed.append(order)
        await ask(buyer, "GET", f"/v1/orders/{order}")  # it is cached, and settled later
        if number % 4 == 0:
            await cancel(buyer, order, log)
        else:
            log.kept.append(order)


async def cancel(buyer: ShopClient, order: str, log: Log) -> None:
    await ask(buyer, "GET", f"/v1/orders/{order}")  # it is cached now
    log.cancelling.append(order)
    await ask(buyer, "POST", f"/v1/orders/{order}/cancellation")
    log.cancelled.append(order)
    status = (await ask(buyer, "GET", f"/v1/orders/{order}"))["status"]
    log.read(f"order {order} is {status} after its cancellation", stale=status != OrderStatus.CANCELLED)


async def read_stock(client: httpx.AsyncClient, product: Json, log: Log, done: asyncio.Event) -> None:
    """Read the product at the catalogue all the time: each acknowledged order has taken its stock."""
    while not done.is_set():
        placed = len(log.placed)
        with suppress(httpx.TransportError):  # its worker was killed
            answer = await client.get(f"/v1/products/{product['id']}")
            if answer.status_code == 200:
                most = STOCK - placed + len(log.cancelling)
                log.read(f"stock after {placed} orders", stale=answer.json()["stock"] > most)
        await asyncio.sleep(0.02)


async def read_all(buyer: ShopClient, statuses: dict[str, OrderStatus], log: Log) -> None:
    """Read each order once more, after the worker, another process, has settled it."""
    for order, status in statuses.items():
        found = (await ask(buyer, "GET", f"/v1/orders/{order}"))["status"]
        log.read(f"order {order} is {found}, not {status}", stale=found != status)


async def break_it(catalogue: Served, proxy: FaultProxy, buyer: ShopClient, log: Log) -> None:
    """One fault after the other. Each lasts until orders were refused, and the next begins after orders were placed.

    An order is cancelled while the catalogue is cut off: its stock is released later.
    """

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
    await cancel(buyer, log.kept.pop(), log)
    await refused()
    proxy.resume()
    await placed()
    proxy.responses_to_lose = 2
    await placed()


@pytest.mark.scoreboard(
    "X1",
    "catalogue as a service killed, paused, cut off during orders, answers lost",
    "I1-I6 hold; orders 503 or done, never half",
)
async def test_orders_are_refused_or_complete_while_the_catalogue_fails(
    tmp_path: Path, empty_url: str, score: Score
) -> None:
    """Fails if a repeated reservation takes stock again, if an order is stored after a failed reservation, if one that
    is paid is not confirmed, if a release that has failed is not tried again (I5), if a reservation does not invalidate
    the cached product, or a cancellation the cached order (I6).
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
        visitor = await stack.enter_async_context(http_client(catalogue.url))
        admin = await sign_in(visitor, "admin")
        product = await product_with(admin, STOCK, price_cents=PRICE)
        of_orders["CATALOGUE_URL"] = f"grpc://{await stock_key(admin)}@127.0.0.1:{proxy.port}"
        served = await stack.enter_async_context(serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **of_orders))
        payments = working(tmp_path, "--queues", "payments", cwd=tmp_path, **{**of_orders, "LOG_LEVEL": "info"})
        await stack.enter_async_context(in_thread(payments))
        client = await stack.enter_async_context(http_client(served.url))
        buyer = await sign_in(client, "customer1")
        async with asyncio.TaskGroup() as group:
            group.create_task(read_stock(visitor, product, log, done))
            for number in range(BUYERS):
                group.create_task(buy(buyer, f"buyer {number}", product, log, done))
            for _ in range(score.size(1, 10)):
                await break_it(catalogue, proxy, buyer, log)
            done.set()
        await settled(of_orders["DATABASE_URL"])
        statuses, keys = await outcome(empty_url, log)
        await read_all(buyer, statuses, log)
        shown = (await ask(admin, "GET", f"/v1/products/{product['id']}"))["stock"]
    paid = {order for order, status in statuses.items() if status == OrderStatus.PAID}
    lost = await audit_catalogue(of_catalogue["DATABASE_URL"], product, shown, paid, log)
    assert keys == len(log.placed), "I2: one order for each key"
    charges = charges_in(tmp_path / "payments.db")
    assert {order for order, amounts in charges.items() if sum(amounts)} == paid, "I3: who is charged"
    assert all(sorted(each) in ([PRICE], [-PRICE, PRICE]) for each in charges.values()), "I3: once, and refunded once"
    assert not log.stale, "I6: reads after an acknowledgement"
    score.note(
        f"{score.size(4, 40)} faults: {len(log.placed):,} orders, {log.statuses[503]} refused with 503,"
        f" {len(log.cancelled)} cancelled; {len(paid):,} paid, each with its stock and one charge; 0 half, 0 oversold;"
        f" each job's effects once; {log.reads:,} reads, 0 stale; {lost} reservations without an order, which expire"
    )


async def settled(url: str) -> None:
    """Wait until all jobs of the orders are done. Their backoff after a fault may be a minute."""
    ends = time.monotonic() + READY_SECONDS
    async with open_database(url, 1) as database:
        while await database.one(_unfinished):
            assert time.monotonic() < ends, "an order was not settled"
            await database.run(_retry_now)
            await asyncio.sleep(0.2)


async def outcome(url: str, log: Log) -> tuple[dict[str, OrderStatus], int]:
    """The status of each order, and the number of keys. Asserts I4, I5, and that no order is between two states."""
    async with open_database(url, 1) as database:
        found = {str(order): each for each in OrderStatus for order in await database.all(_orders, status=each.value)}
        keys = await database.one(_keys)
        jobs = await database.all(_all_jobs)
    assert set(log.placed) == found.keys(), "I4: the acknowledged orders are those that are stored"
    assert set(log.cancelled) == {order for order, status in found.items() if status == OrderStatus.CANCELLED}
    assert set(found.values()) <= {OrderStatus.PAID, OrderStatus.CANCELLED}
    audit_jobs(jobs, log)
    return found, keys


def audit_jobs(jobs: list[StoredJob], log: Log) -> None:
    """Assert I5: the jobs of each commit are there once and done, and none has enqueued two mails."""

    def of_orders(name: str, state: str = "done") -> Counter[str]:
        chosen = (each for each in jobs if (each.name, each.state) == (name, state))
        return Counter(msgspec.json.decode(each.arguments)["order_id"] for each in chosen)

    assert of_orders("settle_order") == Counter(log.placed + log.cancelled), "I5: each order is settled"
    assert of_orders("release_stock") == Counter(log.cancelled), "I5: the stock of each cancelled order is released"
    confirmed = of_orders("send_confirmation", "ready")
    assert set(log.placed) - set(log.cancelled) <= confirmed.keys(), "I5: a mail for each paid order"
    assert max(confirmed.values()) == 1, "I5: one mail for each order"


async def audit_catalogue(url: str, product: Json, shown: int, paid: set[str], log: Log) -> int:
    """Assert I1, and that paid orders and no others have stock for good. Returns the number of lost reservations.

    ``shown``: the stock that the catalogue answers with.
    """
    async with open_database(url, 1) as database:
        stock = await database.one(_stock, id=UUID(product["id"]))
        found = await database.all(_reserved)
    assert shown == stock, "I6: the product as the catalogue shows it"
    confirmed = {str(each.id) for each in found if each.expires_at is None}
    assert confirmed == paid, "a paid order has its stock, and no other order has any for good"
    assert {str(each.id) for each in found}.isdisjoint(log.cancelled), "I5: a cancelled order has no stock"
    items = [item for each in found for item in msgspec.json.decode(each.lines, type=list[ReservedItem])]
    assert stock + sum(item.quantity for item in items) == STOCK, "I1: what is left, and what is reserved"
    return len(found) - len(confirmed)
