"""Load of concurrent orders during faults, and a consistency check of the database afterwards."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import apsw
import asyncpg
import httpx
from msgspec import Struct
from sqlalchemy import func, select, table

from api_client import Json
from restwell.database import open_database, param, query
from servers import TLS, Served
from shop.orders.models import order_lines
from shop.products.models import products
from shop_client import ShopClient

STOCK = 1_000_000

_sold = query("audit.sold", select(order_lines.c.order_id).where(order_lines.c.product_id == param("id")), into=UUID)
_stock = query("audit.stock", select(products.c.stock).where(products.c.id == param("id")), into=int)
_keys = query("audit.keys", select(func.count().label("n")).select_from(table("idempotency_keys")), into=int)


class Attempt(Struct):
    """One request as the client saw it. ``status`` is 0 without a response."""

    key: str
    at: float
    status: int
    order_id: str = ""
    retry_after: str = ""
    seconds: float = 0
    code: str = ""


def http_client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20, verify=TLS)


async def empty_database(server: str, name: str) -> str:
    """Create a database, after dropping one of this name. Returns its URL."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return f"{server.rpartition('/')[0]}/{name}"


async def buy_until(stop: float, url: str, product: Json, name: str, tokens: Json | None = None) -> list[Attempt]:
    """Place at least one order, then one after the other, each with its own key; all attempts."""
    attempts: list[Attempt] = []
    async with http_client(url) as client:
        buyer = ShopClient(client)
        if tokens is None:
            await buyer.sign_in("customer1@shop.example")
        buyer.tokens = tokens or buyer.tokens
        while (now := time.monotonic()) < stop or not attempts:
            key = f"{name} {len(attempts)}"
            try:
                answer = await buyer.order(key, (product["id"], 1))
            except httpx.TransportError:
                attempts.append(Attempt(key, now, 0))
                continue
            attempt = Attempt(key, now, answer.status_code, seconds=time.monotonic() - now)
            attempt.retry_after = answer.headers.get("retry-after", "")
            attempt.order_id = answer.json()["id"] if answer.status_code == 201 else ""
            attempt.code = answer.json()["code"] if answer.status_code >= 400 else ""
            attempts.append(attempt)
            await asyncio.sleep(0.005 if attempt.order_id else 0.05)
    return attempts


async def buy_for(seconds: float, url: str, product: Json, run: str, tokens: Json | None = None) -> list[Attempt]:
    """Run four concurrent clients, which sign in if ``tokens`` is None. Returns all attempts."""
    stop = time.monotonic() + seconds
    names = [f"{run} {number}" for number in range(4)]
    lists = await asyncio.gather(*(buy_until(stop, url, product, name, tokens) for name in names))
    return [attempt for each in lists for attempt in each]


async def check_health_until(stop: float, url: str, which: str = "live") -> float:
    """Poll a health endpoint and assert status 200. Returns the longest response time in seconds."""
    longest = 0.0
    async with http_client(url) as client:
        while time.monotonic() < stop:
            began = time.monotonic()
            assert (await client.get(f"/health/{which}")).status_code == 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.05)
    return longest


async def sign_in_customer(shop: Served) -> Json:
    """Return the tokens of a signed-in customer."""
    async with http_client(shop.url) as client:
        return (await ShopClient(client).sign_in("customer1@shop.example")).tokens


async def create_product(shop: Served) -> Json:
    async with http_client(shop.url) as client:
        admin = await ShopClient(client).sign_in("admin@shop.example")
        draft = {"name": "Plenty", "category": "toys", "price_cents": 1, "currency": "EUR", "stock": STOCK}
        product: Json = (await admin.send("POST", "/v1/products", draft)).json()
        return product


async def audit(url: str, product: Json, attempts: list[Attempt]) -> int:
    """Assert in the database that each acknowledged order is stored once and that stock and orders add up.

    Returns the number of orders.
    """
    async with open_database(url, 1) as database:
        there = [str(order_id) for order_id in await database.all(_sold, id=UUID(product["id"]))]
        stock = await database.one(_stock, id=UUID(product["id"]))
        keys = await database.one(_keys)
    acknowledged = {attempt.order_id for attempt in attempts if attempt.status == 201}
    assert acknowledged <= set(there), "an acknowledged order is lost"
    assert stock + len(there) == STOCK, "stock and orders do not add up"
    assert keys == len(there), "an order without its key, or a key without its order"
    return len(there)


def is_intact(file: Path) -> bool:
    """Whether SQLite's integrity and foreign key checks pass."""
    copy = apsw.Connection(str(file))
    try:
        return copy.pragma("integrity_check") == "ok" and not list(copy.execute("PRAGMA foreign_key_check"))
    finally:
        copy.close()


def charges_in(payments_file: Path) -> dict[str, list[int]]:
    """All charges and refunds of the fake gateway, by order."""
    found: dict[str, list[int]] = {}
    payments = apsw.Connection(str(payments_file))
    payments.set_busy_timeout(5_000)
    for text, amount in payments.execute(
        "SELECT description, movements.amount_cents FROM movements JOIN intents ON intents.id = intent_id"
    ):
        found.setdefault(str(text).removeprefix("Order "), []).append(amount)
    payments.close()
    return found
