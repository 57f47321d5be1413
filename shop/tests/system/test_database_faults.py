"""PostgreSQL crashes, locks and a busy pool under load: clear 503s, no lost orders, automatic recovery."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import apsw
import asyncpg
import pytest

from order_load import STOCK, audit, buy_until, check_health_until, create_product, sign_in_customer
from scoreboard import Score
from servers import NEEDS, RESTWELL, Postgres, Served, postgres, postgres_programs, restwell, serve

BUYER_COUNT = 6
RECOVERY_SECONDS = 5  # SCOREBOARD D1


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A private server that the test crashes."""
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


@pytest.mark.scoreboard(
    "D1", "PostgreSQL restarts immediately under load", "only 503 with Retry-After; back in 5 s; I1, I2, I4"
)
async def test_a_crash_of_postgres_costs_503s_and_loses_no_order(server: Postgres, shop: Served, score: Score) -> None:
    """Breaks when a lost connection is not a DatabaseUnavailable: the responses are then 500s."""
    product = await create_product(shop)
    stop = time.monotonic() + score.size(12, 30)
    tokens = await sign_in_customer(shop)
    buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}", tokens)) for n in range(BUYER_COUNT)]
    living = asyncio.create_task(check_health_until(stop, shop.url))
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
    assert set(late) <= {201}
    assert longest_live < score.size(4, 1)
    orders = await audit(server.url, product, attempts)
    refused = sum(attempt.status == 503 for attempt in attempts)
    score.note(f"{orders:,} orders, {refused:,} x 503, 0 others; back in {recovered - back:.1f} s; 0 lost")


@pytest.mark.scoreboard("D2", "a lock held", "pool wait at most 2 s; liveness at most 100 ms; no other request waits")
async def test_a_lock_on_a_product_delays_orders_of_that_product_only(
    server: Postgres, shop: Served, score: Score
) -> None:
    """Breaks without lock_timeout: each order then holds its connection until the statement_timeout of 5 s."""
    product, other = await create_product(shop), await create_product(shop)
    blocker = await asyncpg.connect(server.url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("UPDATE products SET stock = stock WHERE id = $1", product["id"])
    stop = time.monotonic() + score.size(5, 30)
    blocked, free, longest_live = await asyncio.gather(
        buy_until(stop, shop.url, product, "blocked"),
        buy_until(stop, shop.url, other, "free"),
        check_health_until(stop, shop.url),
    )
    await transaction.rollback()
    await blocker.close()
    assert {attempt.status for attempt in blocked} == {503}
    assert max(attempt.seconds for attempt in blocked) < 4
    assert {attempt.status for attempt in free} == {201}
    assert longest_live < score.size(4, 0.1)
    score.note(
        f"refused after {max(attempt.seconds for attempt in blocked):.1f} s; others' slowest"
        f" {max(attempt.seconds for attempt in free) * 1_000:.0f} ms; liveness {longest_live * 1_000:.0f} ms"
    )
    after = await buy_until(time.monotonic() + 1, shop.url, product, "after")
    assert {attempt.status for attempt in after} == {201}


@pytest.mark.parametrize("pool_size", [1])
async def test_a_busy_pool_is_not_reported_as_a_dead_database(server: Postgres, shop: Served, pool_size: int) -> None:
    """Breaks when the readiness check uses the same pool: it then waits two seconds and responds with 503."""
    assert pool_size == 1
    product = await create_product(shop)
    tokens = await sign_in_customer(shop)
    blocker = await asyncpg.connect(server.url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("UPDATE products SET stock = stock WHERE id = $1", product["id"])
    stop = time.monotonic() + 4
    buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}", tokens)) for n in range(BUYER_COUNT)]
    longest = await check_health_until(stop, shop.url, "ready")
    attempts = [attempt for each in await asyncio.gather(*buying) for attempt in each]
    assert {attempt.status for attempt in attempts} == {503}
    await transaction.rollback()
    await blocker.close()
    assert longest < 4


async def test_a_backup_under_load_is_whole_and_consistent(tmp_path: Path) -> None:
    """Breaks when the file is copied without its write-ahead log."""
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}", "RESTWELL_APP": "shop.app:shop", "WORKERS": "2"}
    assert restwell("migrate", cwd=tmp_path, **environment).returncode == 0
    assert restwell("seed", cwd=tmp_path, **environment).returncode == 0
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as shop:
        product = await create_product(shop)
        stop = time.monotonic() + 4
        buying = [asyncio.create_task(buy_until(stop, shop.url, product, f"buyer {n}")) for n in range(3)]
        await asyncio.sleep(1.5)
        done = await asyncio.to_thread(restwell, "backup", "copy.db", cwd=tmp_path, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        after = await buy_until(time.monotonic() + 0.5, shop.url, product, "after")
        attempts = [attempt for each in (*await asyncio.gather(*buying), after) for attempt in each]
    assert {attempt.status for attempt in attempts} == {201}, "no order waited for the backup"
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    ((stock, sold, orders),) = copy.execute(
        "SELECT (SELECT stock FROM products WHERE id = ?1),"
        " (SELECT sum(quantity) FROM order_lines WHERE product_id = ?1),"
        " (SELECT count(*) FROM orders)",
        (UUID(product["id"]).bytes,),
    )
    copy.close()
    assert stock + sold == STOCK
    assert 0 < orders < len(attempts)
    assert [file.name for file in tmp_path.glob("*copy.db*")] == ["copy.db"]
    again = restwell("backup", "copy.db", cwd=tmp_path, **environment)
    assert (again.returncode, again.stderr) == (2, "restwell: copy.db already exists; choose another path\n")
    missing_folder = restwell("backup", "none/copy.db", cwd=tmp_path, **environment)
    assert missing_folder.stderr == "restwell: none/copy.db is in a folder that does not exist; choose another path\n"


def test_backup_of_postgres_is_refused_and_names_pg_dump(postgres_server: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": postgres_server, "RESTWELL_APP": "shop.app:shop"}
    refused = restwell("backup", "copy.db", cwd=tmp_path, **environment)
    assert (refused.returncode, "pg_dump" in refused.stderr) == (2, True)
