"""End-to-end tests of the server that `make run` starts, over HTTP."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from api_client import assert_problem
from order_load import empty_database
from processes import descendants_of
from servers import NEEDS, ROOT, TLS, Served, redis_program, redis_server, serve
from shop_client import ShopClient

GRACE = {"email": "grace@example.com", "password": "a nanosecond is a foot", "name": "Grace Hopper"}
COMMON = {"WORKERS": "2", "APP_ENV": "development", "LOG_FORMAT": "json"}
START_SECONDS = 90  # the goal is 3; the margin is for slow or busy machines


@pytest.fixture
def environment(empty_url: str, backend: str) -> Iterator[dict[str, str]]:
    settings = {**COMMON, "DATABASE_URL": empty_url}
    if backend == "sqlite":
        yield settings
        return
    if redis_program() is None:
        pytest.skip(f"{NEEDS}: Redis (apt-get install redis-server)")
    with redis_server() as redis:  # an application needs a Redis database of its own
        yield {**settings, "REDIS_URL": redis.url}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """The running shop, for tests that share it: on SQLite alone, or on PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp("shop")
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'shop.db'}"}
    with ExitStack() as stack:
        if request.param == "postgresql":
            if redis_program() is None:
                pytest.skip(f"{NEEDS}: Redis (apt-get install redis-server)")
            server: str = request.getfixturevalue("postgres_server")
            settings = {
                "DATABASE_URL": await empty_database(server, "journey"),
                "REDIS_URL": stack.enter_context(redis_server()).url,
            }
        yield stack.enter_context(serve(folder, "make", "run", cwd=ROOT, **COMMON, **settings))


@pytest.fixture
async def customer_client(shop: Served) -> AsyncIterator[ShopClient]:
    async with httpx.AsyncClient(base_url=shop.url, timeout=30, verify=TLS) as client:
        yield ShopClient(client)


async def test_a_customer_registers_orders_and_signs_out(
    customer_client: ShopClient, shop: Served, request: pytest.FixtureRequest
) -> None:
    backend = request.node.callspec.params["shop"]
    registered = await customer_client.send("POST", "/v1/users", GRACE)
    assert registered.status_code == 201
    await customer_client.sign_in(GRACE["email"], GRACE["password"])
    assert (await customer_client.get(registered.headers["location"])).json() == registered.json()

    first = await customer_client.get("/v1/products?category=kitchen&max_price=20000&sort=price_cents&limit=5")
    second = await customer_client.get(first.links["next"]["url"])
    items = first.json()["items"] + second.json()["items"]
    assert len({item["id"] for item in items}) == 10
    assert [item["price_cents"] for item in items] == sorted(item["price_cents"] for item in items)
    assert {item["category"] for item in items} == {"kitchen"}

    chosen = items[7]
    placed = await customer_client.order("my first order", (chosen["id"], 2))
    assert (placed.status_code, placed.json()["total_cents"]) == (201, 2 * chosen["price_cents"])
    repeated = await customer_client.order("my first order", (chosen["id"], 2))
    assert (repeated.content, repeated.headers["idempotent-replayed"]) == (placed.content, "true")
    assert await customer_client.stock_of(chosen) == chosen["stock"] - 2

    refreshed = await customer_client.send(
        "POST", "/v1/sessions/refresh", {"refresh_token": customer_client.tokens["refresh_token"]}
    )
    customer_client.tokens = refreshed.json()
    stored = (await customer_client.get(placed.headers["location"])).json()
    assert stored | {"status": "pending"} == placed.json(), "a job may have paid it"
    assert (await customer_client.send("DELETE", "/v1/sessions/current")).status_code == 204
    assert_problem(await customer_client.get("/v1/orders"), 401, "unauthorized")

    banner = [line for line in shop.output.splitlines() if line.startswith("  ")]
    assert banner[:5] == [
        f"  shop    {shop.url}/v1 (deprecated)",
        f"  shop    {shop.url}/v2",
        f"  docs    {shop.url}/docs",
        f"  ops     {shop.url}/ops",
        f"  health  {shop.url}/health/ready",
    ]
    assert {"sqlite": "SQLite at ", "postgresql": "PostgreSQL at 127.0.0.1:"}[backend] in banner[5]
    assert "(1,000 products)" in banner[5]
    assert {"sqlite": "cache on this machine", "postgresql": "cache in Redis"}[backend] in banner[5]
    assert "2 workers" in banner[5]
    assert "customer1@shop.example / demo-password-2026" in banner[-1]
    assert GRACE["password"] not in shop.output
    assert "Traceback" not in shop.output


async def test_one_customer_gets_the_last_item_with_two_workers(shop: Served) -> None:
    """Fails without ``stock >= quantity`` in reserve_stock."""
    async with httpx.AsyncClient(base_url=shop.url, timeout=30, verify=TLS) as client:
        admin = await ShopClient(client).sign_in("admin@shop.example")
        draft = {"name": "Last One", "category": "toys", "price_cents": 100, "currency": "EUR", "stock": 1}
        product = (await admin.send("POST", "/v1/products", draft)).json()
    # One client per user, so that connections are spread over both workers.
    clients = [httpx.AsyncClient(base_url=shop.url, timeout=30, verify=TLS) for _ in range(8)]
    buyers = [await ShopClient(c).sign_in(f"customer{n % 2 + 1}@shop.example") for n, c in enumerate(clients)]
    answers = await asyncio.gather(*(buyer.order(f"key {n}", (product["id"], 1)) for n, buyer in enumerate(buyers)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert await buyers[0].stock_of(product) == 0
    for client in clients:
        await client.aclose()


async def test_an_acknowledged_order_survives_a_kill_of_every_process_and_the_next_start_is_fast(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Fails if the response is sent before the commit. Every process is killed when the 201 arrives."""
    command = ("make", "run")
    with serve(tmp_path, *command, cwd=ROOT, **environment) as served:
        async with httpx.AsyncClient(base_url=served.url, verify=TLS) as client:
            customer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await customer.first_product()
            placed = await customer.order("k", (product["id"], 1))
            for process in descendants_of(served.process.pid):
                os.kill(process, signal.SIGKILL)
    assert placed.status_code == 201
    started = time.monotonic()
    with serve(tmp_path, *command, cwd=ROOT, **environment) as served:
        took = time.monotonic() - started
        async with httpx.AsyncClient(base_url=served.url, verify=TLS) as client:
            customer.client = client
            stored = (await customer.get(placed.headers["location"])).json()
            assert stored | {"status": "pending"} == placed.json(), "a job may have paid it"
            assert await customer.stock_of(product) == product["stock"] - 1
    assert took < START_SECONDS
