"""Throughput by the number of stored orders: ``python bench/orders_stored.py`` measures 10 thousand to 10 million
orders.

Takes about 15 minutes and 6 GB of disk. ``--sizes`` selects fewer sizes.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import httpx

from contenders import RESTWELL, ROOT, serving

# contenders sets the path of the following imports.
# isort: split
from chart import line_chart
from process_tree import clean_up_at_exit
from routes import load
from servers import postgres, restwell
from shop.load_data import MAX_PRODUCTS
from shop_client import ShopClient
from workloads import SCRIPTS, add_users, request_data_for

WORKLOADS = {
    "order by id": (
        'request = function() return wrk.format("GET", "/v1/orders/" .. orders[math.random(#orders)], auth) end'
    ),
    "the newest 20 orders": 'request = function() return wrk.format("GET", "/v1/orders?limit=20", auth) end',
    "place an order": SCRIPTS["W5"],
}


async def order_tables(base: str, count: int) -> str:
    """Lua tables with the order ids of the demo customer, newest first, and the access token."""
    ids: list[str] = []
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        customer = await ShopClient(client).sign_in("customer1@shop.example")
        path = "/v1/orders?limit=100"
        while path and len(ids) < count:
            page = (await customer.get(path)).json()
            ids += [order["id"] for order in page["items"]]
            path = f"/v1/orders?limit=100&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    auth = f'auth = {{["Authorization"] = "Bearer {customer.tokens["access_token"]}"}}'
    return f"orders = {{{','.join(map(json.dumps, ids))}}}\n{auth}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000,10000000")
    parser.add_argument("--seconds", type=int, default=6)
    options = parser.parse_args()
    clean_up_at_exit()
    sizes = [int(size) for size in options.sizes.split(",")]
    results_by_workload: dict[str, list[dict[str, float]]] = {workload: [] for workload in WORKLOADS}
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        env = {"DATABASE_URL": server.url, "CACHE": "off"}
        for command in ("migrate", "seed"):
            restwell(command, cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
        add_users(server)
        for size in sizes:
            restwell("seed", f"--rows={size}", cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
            server.run_sql("UPDATE products SET stock = 100000000 WHERE stock < 1000000")
            server.run_sql("VACUUM ANALYZE")
            server.run_sql("CHECKPOINT")
            with serving(RESTWELL, Path(folder), env) as one:
                base = one.url
                data = asyncio.run(request_data_for(one, min(size, MAX_PRODUCTS)))
                tables = data.as_lua() + asyncio.run(order_tables(base, 2_000))
                for workload, script in WORKLOADS.items():
                    load(base, tables + script, 2, Path(folder))
                    runs = sorted(
                        (load(base, tables + script, options.seconds, Path(folder)) for _ in range(3)), key=rate
                    )
                    results_by_workload[workload].append(runs[1])
                    print(
                        f"{size:>12,} orders  {workload:<22} {runs[1]['rate']:6.0f}/s  p99 {runs[1]['p99_ms']:.1f} ms",
                        flush=True,
                    )
    results = ROOT / "bench/results"
    ticks = [f"{size:,}" for size in sizes]
    result = {
        "what": "the shop on PostgreSQL by stored orders: requests per second and p99 in ms",
        "orders": sizes,
        "figures": results_by_workload,
    }
    (results / "orders-stored.json").write_text(json.dumps(result, indent=2) + "\n")
    series = {workload: [run["rate"] for run in runs] for workload, runs in results_by_workload.items()}
    (results / "orders-stored.svg").write_text(
        line_chart("Throughput by stored orders", "requests per second, by stored orders", ticks, series)
    )


def rate(run: dict[str, float]) -> float:
    return run["rate"]


if __name__ == "__main__":
    main()
