"""The statements of docs/partitioning.md on two servers, with an unchanged shop."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from api_client import Json, assert_problem
from restwell.database import Query, explain_queries, open_database
from restwell.testing import running
from servers import MORE, NEEDS, ROOT, Postgres, postgres, postgres_programs, restwell
from shop.app import create_app
from shop.orders import queries
from shop.settings import ShopSettings
from shop_client import ShopClient

ACCOUNTS = 32  # in all but 4 of 10,000 runs, each of the four partitions has one
PASSWORD = "correct horse battery staple"


def statements(heading: str) -> list[tuple[bool, str]]:
    """The SQL blocks under a heading of the page, each with whether it is for the second server."""
    page = (ROOT / "docs/partitioning.md").read_text()
    (section,) = re.findall(rf"^## {re.escape(heading)}.*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```sql( on the second server)?\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [(bool(where), text) for where, text in blocks]


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    if postgres_programs() is None:
        pytest.skip(f"{NEEDS}: PostgreSQL (apt-get install postgresql)")
    with postgres() as first, postgres() as second:
        yield first, second


def for_test_servers(script: str, second: Postgres) -> str:
    """Replace the host of the second server in the page with that of the test."""
    names = {"'second.internal'": "'127.0.0.1'", "'5432'": f"'{second.port}'"}
    names |= {"dbname 'shop'": "dbname 'postgres'", "user 'shop'": "user 'restwell'"}
    for name, replacement in names.items():
        script = script.replace(name, replacement)
    return script


async def run(server: Postgres, script: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


@pytest.fixture
async def client(pair: tuple[Postgres, Postgres], tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    first, _ = pair
    environment = {"DATABASE_URL": first.url, "RESTWELL_APP": "shop.app:shop"}
    for command in ("migrate", "seed"):
        assert restwell(command, cwd=tmp_path, **environment).returncode == 0
    settings = ShopSettings.load(
        {
            "DATABASE_URL": first.url,
            "JWT_SECRET": "a secret for tests, long enough to be one",
            "RATE_LIMIT_SCALE": str(MORE),
            "PAYMENTS_URL": f"fake:///{tmp_path}/payments.db",
        }
    )
    async with running(create_app(settings)) as connected:
        yield connected


async def customers(client: httpx.AsyncClient) -> list[ShopClient]:
    made = []
    for number in range(ACCOUNTS):
        account = {"email": f"c{number}@shop.example", "password": PASSWORD, "name": f"C {number}"}
        assert (await client.post("/v1/users", json=account)).status_code == 201
        made.append(await ShopClient(client).sign_in(account["email"], PASSWORD))
    return made


async def buy(person: ShopClient, product: Json, key: str) -> str:
    answer = await person.order(key, (product["id"], 1))
    assert answer.status_code == 201, answer.text
    order_id: str = answer.json()["id"]
    return order_id


async def assert_orders_work(people: list[ShopClient], product: Json, before: list[str], run_name: str) -> list[str]:
    """Each customer reads the previous order, places another one, retries it with the same key, and cancels it."""
    placed = []
    for person, old in zip(people, before, strict=True):
        new = await buy(person, product, run_name)
        assert await buy(person, product, run_name) == new
        assert (await person.get(f"/v1/orders/{old}")).json()["items"][0]["quantity"] == 1
        listed = [order["id"] for order in (await person.get("/v1/orders")).json()["items"]]
        assert {old, new} <= set(listed)
        assert len(listed) == len(set(listed))
        cancelled = await person.send("POST", f"/v1/orders/{new}/cancellation")
        assert cancelled.json()["status"] == "cancelled"
        placed.append(new)
    return placed


async def shards(server: Postgres, table: str) -> dict[str, int]:
    connection = await asyncpg.connect(server.url)
    rows = await connection.fetch(f"SELECT tableoid::regclass::text AS part, count(*) AS n FROM {table} GROUP BY 1")
    await connection.close()
    return {row["part"]: row["n"] for row in rows}


async def test_the_shop_runs_on_partitions_of_one_server_and_then_of_two(
    pair: tuple[Postgres, Postgres], client: httpx.AsyncClient
) -> None:
    """Breaks when a statement of the page is wrong, and when a key or a query of orders lacks the user."""
    first, second = pair
    people = await customers(client)
    admin = await ShopClient(client).sign_in("admin@shop.example")
    product = await admin.first_product()
    stock = await admin.stock_of(product)
    orders = [await buy(person, product, "before") for person in people]

    for _, script in statements("1. Hash partitions on one server"):
        await run(first, script)
    await assert_orders_work(people, product, orders, "on partitions")
    spread = await shards(first, "orders")
    assert set(spread) == {f"orders_{n}" for n in range(4)}
    assert sum(spread.values()) == 2 * ACCOUNTS

    for there, script in statements("2. Some of the partitions on another server"):
        await run(second if there else first, for_test_servers(script, second))
    await assert_orders_work(people, product, orders, "on two servers")
    moved = (await shards(first, "orders"))["orders_3_remote"]
    assert moved == (await shards(second, "orders_3"))["orders_3"] > 0

    # A failed statement changes neither server.
    counts = await shards(first, "orders")
    for person in people:
        assert_problem(await person.order("too many", (product["id"], 10_000)), 409, "out_of_stock")
    assert await shards(first, "orders") == counts
    assert await admin.stock_of(product) == stock - ACCOUNTS, "each customer has one order that is not cancelled"
    listed = (await admin.get("/v1/orders?limit=100")).json()["items"]
    assert len(listed) == sum(counts.values()) == 3 * ACCOUNTS

    ((_, lost),) = statements("Guarantees and limitations")
    connection = await asyncpg.connect(first.url)
    assert await connection.fetch(lost) == []
    await connection.close()

    # Without the second server only its customers wait.
    second.stop(signal.SIGQUIT)
    answers = [await person.get(f"/v1/orders/{order}") for person, order in zip(people, orders, strict=True)]
    away = [answer for answer in answers if answer.status_code == 503]
    assert 0 < len(away) < ACCOUNTS
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(answer.json()["code"] == "database_unavailable" for answer in away)
    second.start()
    await asyncio.sleep(1)
    assert {
        (await person.get(f"/v1/orders/{order}")).status_code for person, order in zip(people, orders, strict=True)
    } == {200}


async def test_a_query_of_one_customer_reads_one_partition(pair: tuple[Postgres, Postgres], tmp_path: Path) -> None:
    first, _ = pair
    assert restwell("migrate", cwd=tmp_path, DATABASE_URL=first.url, RESTWELL_APP="shop.app:shop").returncode == 0
    for _, script in statements("1. Hash partitions on one server"):
        await run(first, script)
    async with open_database(first.url) as database:
        asked: list[Query[Any]] = [queries.of_user_by_id, queries.page_of_user.first, queries.lines_of_user]
        for plan in await explain_queries(database, asked):
            assert len(re.findall(r"orders_\d|order_lines_\d", plan.summary)) == 1, plan.summary
