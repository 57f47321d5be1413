"""What an order costs as the shop grows: ``python bench/orders_stored.py`` measures from 10 thousand to 10 million orders and plots it.

Takes about a quarter of an hour and six gigabytes; ``--sizes`` asks for less.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import httpx

from api_client import ApiClient
from chart import line_chart
from contenders import OURS, ROOT, serving
from routes import load
from servers import postgres, restwell
from shop.load_data import MOST_PRODUCTS
from works import SCRIPTS, add_people, subjects_for

WORKS = {
    "an order by its id": 'request = function() return wrk.format("GET", "/v1/orders/" .. orders[math.random(#orders)], auth) end',
    "the newest 20 orders": 'request = function() return wrk.format("GET", "/v1/orders?limit=20", auth) end',
    "placing an order": SCRIPTS["W5"],
}


async def orders_of(base: str, count: int) -> str:
    """A Lua table of the demo customer's orders, from the newest to the oldest, and the customer's token."""
    ids: list[str] = []
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        customer = await ApiClient(client).sign_in("customer1@shop.example")
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
    sizes = [int(size) for size in options.sizes.split(",")]
    figures: dict[str, list[dict[str, float]]] = {work: [] for work in WORKS}
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        env = {"DATABASE_URL": server.url, "CACHE": "off"}
        for command in ("migrate", "seed"):
            restwell(command, cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
        add_people(server)
        for size in sizes:
            restwell("seed", f"--rows={size}", cwd=ROOT, **env, RESTWELL_APP="shop.app:shop").check_returncode()
            server.run_sql("UPDATE products SET stock = 100000000 WHERE stock < 1000000")
            server.run_sql("VACUUM ANALYZE")
            server.run_sql("CHECKPOINT")
            with serving(OURS, Path(folder), env) as one:
                base = one.url
                subjects = asyncio.run(subjects_for(one, min(size, MOST_PRODUCTS)))
                tables = subjects.as_lua() + asyncio.run(orders_of(base, 2_000))
                for work, script in WORKS.items():
                    load(base, tables + script, 2, Path(folder))
                    runs = sorted(
                        (load(base, tables + script, options.seconds, Path(folder)) for _ in range(3)), key=rate
                    )
                    figures[work].append(runs[1])
                    print(
                        f"{size:>12,} orders  {work:<22} {runs[1]['rate']:6.0f}/s  p99 {runs[1]['p99_ms']:.1f} ms",
                        flush=True,
                    )
    results = ROOT / "bench/results"
    ticks = [f"{size:,}" for size in sizes]
    told = {
        "what": "the shop on PostgreSQL as it grows: requests per second and p99 in ms",
        "orders": sizes,
        "figures": figures,
    }
    (results / "orders-stored.json").write_text(json.dumps(told, indent=2) + "\n")
    series = {work: [run["rate"] for run in runs] for work, runs in figures.items()}
    (results / "orders-stored.svg").write_text(
        line_chart("The shop as it grows", "requests a second, by orders stored", ticks, series)
    )


def rate(run: dict[str, float]) -> float:
    return run["rate"]


if __name__ == "__main__":
    main()
