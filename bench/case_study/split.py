"""The shop becomes two services while it is used: ``python bench/case_study/split.py`` moves its catalogue.

Two servers of the shop and a worker are behind nginx and under a constant load. Each step is followed by some time of
the same load: extract (a catalogue service whose tables are a logical replica), dual run (``strangler.py``: reads are
asked of both and compared), switch (in one transaction, while writes wait), remove (the shop with CATALOGUE_URL).
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import asyncpg

BENCH = Path(__file__).parents[1]
sys.path += [str(BENCH), str(BENCH.parent / "tests/support"), str(BENCH.parent / "shop/tests/support")]

from case_study.split_load import Json, Load, Sample  # noqa: E402  # after the path is set; test helpers
from chart import line_chart  # noqa: E402
from nodes import Node  # noqa: E402
from order_load import STOCK, http_client  # noqa: E402
from process_tree import check_no_leftovers, clean_up_at_exit  # noqa: E402
from processes import READY_SECONDS, children_of  # noqa: E402
from results_file import save_result  # noqa: E402
from reverse_proxy import nginx  # noqa: E402
from servers import free_port, postgres, restwell, wait_until, working  # noqa: E402
from shop_client import ShopClient, product_with  # noqa: E402
from two_services import stock_key  # noqa: E402

TABLES = "products, reservations, product_images"
RESERVE_STORED_ORDERS = """INSERT INTO reservations (id, lines)
SELECT kept.id, json_agg(json_build_object('product_id', product_id, 'quantity', quantity, 'name', name,
  'unit_price_cents', unit_price_cents, 'currency', kept.currency))::text
FROM (SELECT user_id, id, currency FROM orders WHERE status IN ('pending', 'paid') FOR SHARE) AS kept
JOIN order_lines ON order_lines.user_id = kept.user_id AND order_id = kept.id
GROUP BY kept.id ON CONFLICT DO NOTHING"""
"""An order that was placed without a reservation gets one, so that the catalogue can release its stock."""
APPLIED = "SELECT bool_and(replay_lsn >= $1::text::pg_lsn) FROM pg_stat_replication"
UNSETTLED = """WITH retried AS (UPDATE jobs SET run_at = enqueued_at WHERE queue = 'payments' AND state = 'scheduled')
SELECT string_agg(DISTINCT name || ' ' || state, ', ') FROM jobs
WHERE queue = 'payments' AND state NOT IN ('done', 'cancelled', 'dead')"""
CHART_SECONDS = 2


class Split:
    """The servers of the migration. ``old`` and ``new`` are the URLs of the two databases."""

    def __init__(self, folder: Path, old: str, new: str) -> None:
        self.old, self.new, self._folder = old, new, folder
        common = {"LOG_LEVEL": "info", "REQUEST_TIMEOUT_SECONDS": "30", "DRAIN_SECONDS": "2"}
        payments = f"fake:///{folder / 'payments.db'}?decline_rate=0.05"
        self._shop = {**common, "RESTWELL_APP": "shop.app:shop", "DATABASE_URL": old, "PAYMENTS_URL": payments}
        self.shop = [Node(folder, self._shop) for _ in range(2)]
        # Replication changes rows behind the cache of the first one, which is asked for comparisons only.
        self.compared, self.catalogue = (self._catalogue(name) for name in ("compared", "catalogue"))
        self.compared.environment["CACHE"] = "off"
        self._worker = AsyncExitStack()

    def _catalogue(self, name: str) -> Node:
        own = self._folder / name
        own.mkdir()
        environment = {"DATABASE_URL": self.new, "GRPC_PORT": str(free_port()), "JWT_SECRET": f"of the catalogue {own}"}
        return Node(own, {**self._shop, **environment, "RUNTIME_DIR": str(own / "cache")})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Start the shop, and nginx in front of it. Yields the port of nginx; all servers are ended after the block."""
        for command in ("migrate", "seed"):
            restwell(command, cwd=self._folder, **self._shop).check_returncode()
        try:
            for node in self.shop:
                await asyncio.to_thread(node.start)
            await self._start_worker()
            with nginx(self._folder, *(node.port for node in self.shop)) as port:
                yield port
        finally:
            await self._worker.aclose()
            for node in (*self.shop, self.catalogue, self.compared):
                node.close()

    async def _start_worker(self, **environment: str) -> None:
        await self._worker.aclose()
        worker = working(self._folder, "--queues", "payments", cwd=self._folder, **{**self._shop, **environment})
        await asyncio.to_thread(worker.__enter__)
        self._worker.push_async_callback(asyncio.to_thread, worker.__exit__, None, None, None)

    async def _roll(self, **environment: str) -> None:
        """Restart the worker and one server after the other."""
        await self._start_worker(**environment)
        for node in self.shop:
            node.environment |= environment
            await asyncio.to_thread(node.stop)
            await asyncio.to_thread(node.start)

    async def extract(self) -> Json:
        """Start the catalogue on a replica of its tables. Returns the tokens of its admin."""
        of_catalogue = {**self._shop, "DATABASE_URL": self.new}
        for command in ("migrate", "seed"):
            (await asyncio.to_thread(restwell, command, cwd=self._folder, **of_catalogue)).check_returncode()
        await run_sql(self.new, f"TRUNCATE {TABLES}")  # the demo products; its accounts stay
        await run_sql(self.old, f"CREATE PUBLICATION catalogue FOR TABLE {TABLES}")
        await run_sql(self.new, f"CREATE SUBSCRIPTION catalogue CONNECTION '{self.old}' PUBLICATION catalogue")
        await until(self.new, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel", wanted=True)
        for node in (self.catalogue, self.compared):
            await asyncio.to_thread(node.start)
        async with http_client(self.catalogue.served.url) as client:
            admin = await ShopClient(client).sign_in("admin@shop.example")
            self._stock_url = f"grpc://{await stock_key(admin)}@127.0.0.1:{self.catalogue.environment['GRPC_PORT']}"
            return admin.tokens

    async def dual_run(self) -> None:
        """Replace the shop by the one that compares. From now on each order has a reservation, also those of before."""
        await run_sql(self.old, "CREATE TABLE catalogue_move (done boolean NOT NULL)")
        await run_sql(self.old, "INSERT INTO catalogue_move VALUES (false)")
        await self._roll(
            RESTWELL_APP="case_study.strangler:shop",
            PYTHONPATH=str(BENCH),
            COMPARE_URL=f"grpc://127.0.0.1:{self.compared.environment['GRPC_PORT']}",
            STOCK_URL=self._stock_url,
        )
        await run_sql(self.old, RESERVE_STORED_ORDERS)

    async def switch(self) -> float:
        """Move reads and writes to the catalogue at once. Returns the seconds that writes waited for."""
        connection = await asyncpg.connect(self.old)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE catalogue_move")  # all transactions of stock have read it, or wait
                began = time.monotonic()
                written = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
                await until(self.old, APPLIED, written, wanted=True)
                await run_sql(self.new, "ALTER SUBSCRIPTION catalogue DISABLE")
                await asyncio.to_thread(self._send_products_to_the_catalogue)
                await connection.execute("UPDATE catalogue_move SET done = true")
            return time.monotonic() - began
        finally:
            await connection.close()

    def _send_products_to_the_catalogue(self) -> None:
        config, pid = self._folder / "nginx/nginx.conf", int((self._folder / "nginx/pid").read_text())
        upstream = (
            f"upstream catalogue {{ server 127.0.0.1:{self.catalogue.port}; keepalive 8; keepalive_timeout 1s; }}"
        )
        location = "location ~ ^/v[12]/products { proxy_pass http://catalogue; }"
        text = config.read_text().replace("server {", f"{upstream} server {{", 1)
        config.write_text(text.replace("location / {", f"{location} location / {{"))
        before = children_of(pid)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: not any(map(accepts, before)))

    async def remove(self) -> None:
        """Replace the strangler by the shop with CATALOGUE_URL, and empty the tables that moved."""
        await run_sql(self.new, "DROP SUBSCRIPTION catalogue")
        await run_sql(self.old, "DROP PUBLICATION catalogue")
        await self._roll(RESTWELL_APP="shop.app:shop", CATALOGUE_URL=self._stock_url)
        await asyncio.to_thread(self.compared.stop)
        await run_sql(self.old, f"TRUNCATE {TABLES}")
        await run_sql(self.old, "DROP TABLE catalogue_move")

    def comparisons(self) -> tuple[int, int]:
        """How often the catalogues agreed, and differed."""
        logs = "".join(node.served.output for node in self.shop)
        return logs.count("catalogue_agrees"), logs.count("catalogue_differs")


async def run_sql(url: str, statement: str, *values: object) -> Any:
    """The first value of the result."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def until(url: str, statement: str, *values: object, wanted: object) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while (found := await run_sql(url, statement, *values)) != wanted:
        assert time.monotonic() < deadline, f"{statement}: {found}"
        await asyncio.sleep(0.01)


def accepts(worker: int) -> bool:
    """Whether a worker of nginx accepts connections."""
    try:
        return b"shutting down" not in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return False


async def split(folder: Path, seconds: float, per_second: float) -> dict[str, Any]:
    """Do all steps, with so many seconds of load after each. Returns the figures."""
    with postgres(None, "-cwal_level=logical") as old, postgres() as new:
        steps = Split(folder, old.url, new.url)
        async with steps.running() as port:
            async with http_client(steps.shop[0].served.url) as client:
                customer = (await ShopClient(client).sign_in("customer1@shop.example")).tokens
                admin = await ShopClient(client).sign_in("admin@shop.example")
                products = [await product_with(admin, STOCK, price_cents=100) for _ in range(4)]
            load, admins = Load(f"http://127.0.0.1:{port}", customer, products, per_second), [admin.tokens]
            running = asyncio.create_task(load.run(admins))
            marks = [("before", time.monotonic(), time.monotonic())]
            print("the load has begun", flush=True)
            held = 0.0

            async def rest(step: str, began: float) -> None:
                marks.append((step, began, time.monotonic()))
                print(f"{step}: {time.monotonic() - began:.1f} s", flush=True)
                await asyncio.sleep(seconds)

            await asyncio.sleep(seconds)
            began = time.monotonic()
            admins.append(await steps.extract())
            await rest("extract", began)
            began = time.monotonic()
            await steps.dual_run()
            await rest("dual run", began)
            began = time.monotonic()
            held = await steps.switch()
            await rest("switch", began)
            began = time.monotonic()
            await steps.remove()
            await rest("remove", began)
            load.is_over = True
            await running
            ended = time.monotonic()
            print("the load has ended", flush=True)
            agreed, differed = steps.comparisons()
            found = {
                **await audit(steps, load, products),
                "requests": len(load.samples),
                "failed": load.failures,
                "refused": load.refused,
                "compared": agreed,
                "differences": differed,
                "writes_waited_seconds": round(held, 3),
                "steps": figures(load.samples, marks, ended),
            }
            found["timeline"] = timeline(load.samples, marks)
            return found


async def audit(steps: Split, load: Load, products: list[Json]) -> dict[str, int]:
    """What is wrong in the databases, after all payments are settled."""
    await until(steps.old, UNSETTLED, wanted=None)
    old, new = await asyncpg.connect(steps.old), await asyncpg.connect(steps.new)
    try:
        stored = {str(row["id"]): row["status"] for row in await old.fetch("SELECT id, status FROM orders")}
        sold = await old.fetch(
            "SELECT product_id, sum(quantity) AS quantity FROM order_lines JOIN orders ON id = order_id"
            " WHERE status = 'paid' GROUP BY product_id"
        )
        stock = {row["id"]: row["stock"] for row in await new.fetch("SELECT id, stock FROM products")}
        reserved = await new.fetch("SELECT id FROM reservations WHERE expires_at IS NULL")
        price = await new.fetchval("SELECT price_cents FROM products WHERE id = $1", products[-1]["id"])
    finally:
        await old.close()
        await new.close()
    paid = {order for order, status in stored.items() if status == "paid"}
    return {
        "orders": len(stored),
        "cancelled": len(load.cancelled),
        "lost": len(set(load.placed) - stored.keys()),
        "doubled": len(stored.keys() - set(load.placed)),
        "unsettled": sum(status == "pending" for status in stored.values()),
        "wrong_cancellations": len({each for each, is_now in stored.items() if is_now == "cancelled"} - load.cancelled),
        "wrong_stock": sum(stock[row["product_id"]] + row["quantity"] != STOCK for row in sold),
        "wrong_reservations": len({str(row["id"]) for row in reserved} ^ paid),
        "lost_changes": load.price - price,
    }


def figures(samples: list[Sample], marks: list[tuple[str, float, float]], ended: float) -> dict[str, Any]:
    """The load during each step, and after it."""
    found: dict[str, Any] = {}
    for (name, began, done), (_, following, _) in zip(marks, [*marks[1:], ("", ended, 0.0)], strict=True):
        periods = {"during": (began, done), "after": (done, following)}
        found[name] = {
            which: {"seconds": round(end - start, 1), **rates(samples, start, end)}
            for which, (start, end) in periods.items()
            if end > start + 0.001
        }
    return found


def rates(samples: list[Sample], start: float, end: float) -> Mapping[str, float]:
    chosen = [each for each in samples if start <= each.at < end]
    return {
        "per_second": round(len(chosen) / (end - start), 1),
        "p95_of_reads_ms": p95([each.seconds for each in chosen if each.kind in {"product", "list"}]),
        "p95_of_orders_ms": p95([each.seconds for each in chosen if each.kind == "order"]),
    }


def p95(seconds: list[float]) -> float:
    return round(quantiles(seconds, n=20)[-1] * 1000, 1) if len(seconds) > 1 else 0.0


def timeline(samples: list[Sample], marks: list[tuple[str, float, float]]) -> list[Any]:
    """The load in periods of CHART_SECONDS, with the names of the steps that begin in them."""
    first, last = marks[0][1], samples[-1].at
    starts = [first + CHART_SECONDS * number for number in range(int((last - first) / CHART_SECONDS))]
    return [
        {
            "steps": [name for name, began, _ in marks if start <= began < start + CHART_SECONDS],
            **rates(samples, start, start + CHART_SECONDS),
        }
        for start in starts
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--out", type=Path, help="path without a suffix: .json for the result, .svg for the chart")
    options = parser.parse_args()
    check_no_leftovers()
    clean_up_at_exit()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(split(Path(folder), options.seconds, options.rate))
    points = found.pop("timeline")
    print(found)
    if options.out is not None:
        save_result(options.out, __doc__, load={"seconds": options.seconds, "rate": options.rate}, **found)
        names = ("p95_of_reads_ms", "p95_of_orders_ms", "per_second")
        series = {name.replace("_", " "): [point[name] for point in points] for name in names}
        ticks = [", ".join(point["steps"]) for point in points]
        chart = line_chart("The catalogue becomes a service, under load", "every two seconds", ticks, series)
        options.out.with_suffix(".svg").write_text(chart)


if __name__ == "__main__":
    main()
