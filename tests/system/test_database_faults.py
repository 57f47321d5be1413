"""The database goes away or stops answering under load: clear 503s, nothing lost, and back by itself."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import apsw
import asyncpg
import httpx
import pytest
from msgspec import Struct

from conftest import NEEDS
from people import Json, Person
from servers import RESTWELL, Postgres, Served, postgres, postgres_programs, restwell, serve

STOCK = 1_000_000
BUYERS = 6
RECOVERY_SECONDS = 5  # SCOREBOARD D1


class Attempt(Struct):
    """One order as the buyer saw it. ``status`` is 0 where no answer came."""

    key: str
    at: float
    status: int
    order_id: str = ""
    retry_after: str = ""
    seconds: float = 0


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of the test's own, that it may crash."""
    if postgres_programs() is None:
        pytest.skip(f"{NEEDS}: PostgreSQL (apt-get install postgresql)")
    with postgres() as started:
        yield started


@pytest.fixture
def pool_size() -> int:
    return 10


@pytest.fixture
def shop(server: Postgres, tmp_path: Path, pool_size: int) -> Iterator[Served]:
    environment = {
        "DATABASE_URL": server.url,
        "DATABASE_POOL_SIZE": str(pool_size),
        "RESTWELL_APP": "shop.app:shop",
        "WORKERS": "2",
    }
    assert restwell("migrate", cwd=tmp_path, **environment).returncode == 0
    assert restwell("seed", cwd=tmp_path, **environment).returncode == 0
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        yield served


async def buy_until(stop: float, url: str, product: Json, name: str, tokens: Json | None = None) -> list[Attempt]:
    """Place one order after the other, each with a key of its own, and write down what came of it."""
    attempts: list[Attempt] = []
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        buyer = Person(client)
        if tokens is None:
            await buyer.sign_in("customer1@shop.example")
        buyer.tokens = tokens or buyer.tokens
        while (now := time.monotonic()) < stop:
            key = f"{name} {len(attempts)}"
            try:
                answer = await buyer.order(key, (product["id"], 1))
            except httpx.TransportError:
                attempts.append(Attempt(key, now, 0))
                continue
            attempt = Attempt(key, now, answer.status_code, seconds=time.monotonic() - now)
            attempt.retry_after = answer.headers.get("retry-after", "")
            attempt.order_id = answer.json()["id"] if answer.status_code == 201 else ""
            attempts.append(attempt)
            await asyncio.sleep(0.005 if attempt.order_id else 0.05)
    return attempts


async def is_healthy_until(stop: float, url: str, which: str = "live") -> float:
    """The longest that an answer about health took meanwhile, in seconds; each was a 200."""
    longest = 0.0
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        while time.monotonic() < stop:
            began = time.monotonic()
            assert (await client.get(f"/health/{which}")).status_code == 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.05)
    return longest


async def product_of(shop: Served) -> Json:
    async with httpx.AsyncClient(base_url=shop.url) as client:
        admin = await Person(client).sign_in("admin@shop.example")
        draft = {"name": "Plenty", "category": "toys", "price_cents": 1, "currency": "EUR", "stock": STOCK}
        product: Json = (await admin.send("POST", "/v1/products", draft)).json()
        return product


async def audit(url: str, product: Json, attempts: list[Attempt]) -> None:
    """Against the database itself: every acknowledged order is there, once, and stock and orders add up."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT order_id FROM order_lines WHERE product_id = $1", product["id"])
    stock = await connection.fetchval("SELECT stock FROM products WHERE id = $1", product["id"])
    keys = await connection.fetchval("SELECT count(*) FROM idempotency_keys")
    await connection.close()
    there = [str(row["order_id"]) for row in rows]
    acknowledged = {attempt.order_id for attempt in attempts if attempt.status == 201}
    assert acknowledged <= set(there), "an acknowledged order is lost"
    assert stock + len(there) == STOCK, "stock and orders do not add up"
    assert keys == len(there), "an order without its key, or a key without its order"


async def test_a_crash_of_postgres_costs_503s_and_no_order(server: Postgres, shop: Served) -> None:
    """Breaks when a lost connection is no DatabaseUnavailable: the answers are then 500s."""
    product = await product_of(shop)
    start = time.monotonic()
    stop = start + 8
    buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}")) for n in range(BUYERS)]
    living = asyncio.create_task(is_healthy_until(stop, shop.url))
    await asyncio.sleep(1.5)
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    await asyncio.sleep(1)
    await asyncio.to_thread(server.start)
    back = time.monotonic()
    attempts = [attempt for each in await asyncio.gather(*buying) for attempt in each]
    longest_live = await living

    assert {attempt.status for attempt in attempts} == {201, 503}
    assert all(attempt.retry_after == "1" for attempt in attempts if attempt.status == 503)
    assert max(attempt.seconds for attempt in attempts) < RECOVERY_SECONDS
    recovered = min(attempt.at for attempt in attempts if attempt.status == 201 and attempt.at > back)
    assert recovered - back < RECOVERY_SECONDS
    late = [attempt.status for attempt in attempts if attempt.at > back + RECOVERY_SECONDS]
    assert set(late) == {201}
    assert longest_live < 1
    await audit(server.url, product, attempts)


async def test_a_lock_held_on_a_product_costs_that_product_only(server: Postgres, shop: Served) -> None:
    """Breaks without lock_timeout: each order then holds its connection until statement_timeout, after five seconds."""
    product, other = await product_of(shop), await product_of(shop)
    blocker = await asyncpg.connect(server.url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("UPDATE products SET stock = stock WHERE id = $1", product["id"])
    stop = time.monotonic() + 5
    blocked, free, longest_live = await asyncio.gather(
        buy_until(stop, shop.url, product, "blocked"),
        buy_until(stop, shop.url, other, "free"),
        is_healthy_until(stop, shop.url),
    )
    await transaction.rollback()
    await blocker.close()
    assert {attempt.status for attempt in blocked} == {503}
    assert max(attempt.seconds for attempt in blocked) < 4
    assert {attempt.status for attempt in free} == {201}
    assert longest_live < 1
    after = await buy_until(time.monotonic() + 1, shop.url, product, "after")
    assert {attempt.status for attempt in after} == {201}


@pytest.mark.parametrize("pool_size", [1])
async def test_a_busy_pool_does_not_look_like_a_dead_database(server: Postgres, shop: Served, pool_size: int) -> None:
    """Breaks when readiness borrows from the same pool: it then waits for two seconds, and answers 503."""
    assert pool_size == 1
    product = await product_of(shop)
    async with httpx.AsyncClient(base_url=shop.url) as client:
        tokens = (await Person(client).sign_in("customer1@shop.example")).tokens
    blocker = await asyncpg.connect(server.url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("UPDATE products SET stock = stock WHERE id = $1", product["id"])
    stop = time.monotonic() + 4
    buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}", tokens)) for n in range(BUYERS)]
    longest = await is_healthy_until(stop, shop.url, "ready")
    attempts = [attempt for each in await asyncio.gather(*buying) for attempt in each]
    assert {attempt.status for attempt in attempts} == {503}
    await transaction.rollback()
    await blocker.close()
    assert longest < 1


async def test_a_backup_under_load_is_whole_and_consistent(tmp_path: Path) -> None:
    """Breaks when the file is copied as it lies: the copy then needs a write-ahead log of its own."""
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}", "RESTWELL_APP": "shop.app:shop", "WORKERS": "2"}
    assert restwell("migrate", cwd=tmp_path, **environment).returncode == 0
    assert restwell("seed", cwd=tmp_path, **environment).returncode == 0
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as shop:
        product = await product_of(shop)
        stop = time.monotonic() + 4
        buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}")) for n in range(3)]
        await asyncio.sleep(1.5)
        done = await asyncio.to_thread(restwell, "backup", "copy.db", cwd=tmp_path, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        attempts = [attempt for each in await asyncio.gather(*buying) for attempt in each]
    assert {attempt.status for attempt in attempts} == {201}, "nobody waited for the backup"
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    ((stock, sold, orders),) = copy.execute(
        "SELECT (SELECT stock FROM products WHERE id = ?1), (SELECT sum(quantity) FROM order_lines WHERE product_id = ?1),"
        " (SELECT count(*) FROM orders)",
        (UUID(product["id"]).bytes,),
    )
    copy.close()
    assert stock + sold == STOCK
    assert 0 < orders < len(attempts)
    assert [file.name for file in tmp_path.glob("*copy.db*")] == ["copy.db"]
    again = restwell("backup", "copy.db", cwd=tmp_path, **environment)
    assert (again.returncode, again.stderr) == (2, "restwell: copy.db is there already; choose another name\n")
    nowhere = restwell("backup", "none/copy.db", cwd=tmp_path, **environment)
    assert nowhere.stderr == "restwell: none/copy.db is in no folder that exists; choose another name\n"


def test_a_backup_of_postgres_is_pg_dumps_work(postgres_server: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": postgres_server, "RESTWELL_APP": "shop.app:shop"}
    refused = restwell("backup", "copy.db", cwd=tmp_path, **environment)
    assert (refused.returncode, "pg_dump" in refused.stderr) == (2, True)
