"""The shop's own routes under load, one build against another: ``python bench/routes.py before=../old/src after=src``.

Each build serves from one core and wrk asks from another, in turn, on the same throwaway PostgreSQL; medians are printed and
written to ``--out``. Works W1 to W5 are those of the speed bars: a kept list of 20, a product by id, a list of 20, the own account,
an order; the cache is off but in W1 and W4. A build is ``label=folder``, or ``label=folder,VARIABLE=value`` with settings of its own;
``raw=raw`` is a bare ASGI function that answers as many bytes as W1; ``express=express`` is the guide's own stack, for W4.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "src")]

from people import Person  # noqa: E402  # after the path is set; the tests' own helpers
from restwell.database import open_database  # noqa: E402
from servers import free_port, postgres  # noqa: E402

RAW = "raw"
EXPRESS = "express"
PEERS = ROOT / "bench/peers"
INSTALLED = ROOT / "var/peers"
SECRET = "a secret for the bench, which is long enough to be one"  # noqa: S105
EACH = {
    "W1": 'request = function() return wrk.format("GET", "/v1/products?limit=20") end',
    "W2": 'request = function() return wrk.format("GET", "/v1/products/" .. ids[math.random(#ids)]) end',
    "W3": 'request = function() return wrk.format("GET", "/v1/products?limit=20" .. tails[math.random(#tails)]) end',
    "W4": 'request = function() return wrk.format("GET", "/v1/users/me", auth) end',
    "W5": """local n = 0
math.randomseed(os.time())
local run = math.random(1e9)
request = function()
  n = n + 1
  local headers = {["Authorization"] = auth["Authorization"], ["Content-Type"] = "application/json",
                   ["Idempotency-Key"] = "bench-" .. run .. "-" .. n}
  local body = '{"items":[{"product_id":"' .. ids[math.random(#ids)] .. '","quantity":1}]}'
  return wrk.format("POST", "/v1/orders", headers, body)
end""",
}


def environment(source: str, url: str, work: str = "W1") -> dict[str, str]:
    ours = {"DATABASE_URL": url, "JWT_SECRET": SECRET, "RESTWELL_APP": "shop.app:shop", "RATE_LIMIT_SCALE": "0"}
    folder, *settings = source.split(",")
    ours |= {"CACHE": "on" if work in {"W1", "W4"} else "off"} | dict(setting.split("=", 1) for setting in settings)
    return {**os.environ, "PYTHONPATH": str(Path(folder).resolve()), **ours}


def is_ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def serving(source: str, url: str, work: str) -> Iterator[str]:
    """One worker of that build, pinned to the first core, once it is ready."""
    port = free_port()
    env = environment(source, url, work) | {"PORT": str(port), "WORKERS": "1", "NODE_ENV": "production"}
    command = ["taskset", "-c", "0", sys.executable, "-m", "restwell", "serve"]
    if source == RAW:
        env["PYTHONPATH"] = str(ROOT / "bench/peers")
        command[4:] = [str(ROOT / "bench/peers/raw_asgi.py")]
    if source == EXPRESS:
        command[3:] = ["node", str(install_express())]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        while not is_ready(base):
            time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait(30)


def install_express() -> Path:
    folder = INSTALLED / "express"
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(PEERS / "express/package.json", folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Path(shutil.copy(PEERS / "express/server.mjs", folder))


async def tables_for_express(base: str, url: str) -> str:
    """A token as its own sign-in would issue it; what it answers is compared with the row, or it is out of the race."""
    connection = await asyncpg.connect(url)
    user_id = await connection.fetchval("SELECT id FROM users WHERE email = 'customer1@shop.example'")
    await connection.close()
    claims = {"sub": str(user_id), "iss": "shop", "aud": "shop", "exp": int(time.time()) + 900}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET), algorithms=["HS256"])
    async with httpx.AsyncClient(base_url=base, headers={"authorization": f"Bearer {token}"}) as client:
        me = (await client.get("/v1/users/me")).json()
    if (me["email"], me["id"], len(me)) != ("customer1@shop.example", str(user_id), 8):
        raise SystemExit(f"express answers wrongly: {me}")
    return f'auth = {{["Authorization"] = "Bearer {token}"}}\n'


def load(base: str, script: str, seconds: int, folder: Path) -> dict[str, float]:
    path = folder / "load.lua"
    path.write_text(script + "\nresponse = function(status) if status >= 300 then bad = (bad or 0) + 1 end end\n")
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-s", str(path), base]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrong answers:\n{output}")
    rate = re.findall(r"Requests/sec:\s+([\d.]+)", output)[0]
    figure, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", output)[0]
    return {"rate": float(rate), "p99": float(figure) * {"us": 0.001, "ms": 1, "s": 1_000}[unit]}


async def tables_for(base: str) -> str:
    """The Lua tables that the requests are made of: ids, cursors and categories, and a token."""
    async with httpx.AsyncClient(base_url=base) as client:
        person = await Person(client).sign_in("customer1@shop.example")
        ids: list[str] = []
        tails: list[str] = []
        cursor = ""
        for category in ("audio", "home", "toys", "books", "garden", "office"):
            answer = (await client.get(f"/v1/products?limit=20&category={category}")).json()
            if answer["items"]:
                tails += [f"&category={category}"]
                if answer["next_cursor"]:
                    tails += [f"&category={category}&cursor={answer['next_cursor']}"]
        while len(ids) < 1_000:
            page = (await client.get(f"/v1/products?limit=100{cursor}")).json()
            ids += [item["id"] for item in page["items"]]
            if not page["next_cursor"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
            tails.append(cursor)
    auth = f'auth = {{["Authorization"] = "Bearer {person.tokens["access_token"]}"}}'
    return f"ids = {as_lua(ids)}\ntails = {as_lua(tails)}\n{auth}\n"


def as_lua(values: Sequence[str]) -> str:
    return "{" + ",".join(map(json.dumps, values)) + "}"


async def restock(url: str) -> None:
    async with open_database(url) as database, database.transaction() as tx:
        await tx.run_script("UPDATE products SET stock = 100000000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", nargs="+", help="label=folder with restwell and shop")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="W1,W2,W3,W4,W5")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    builds = dict(build.split("=", 1) for build in options.builds)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {
        work: {label: [] for label in builds} for work in options.only.split(",")
    }
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        env = environment(next(iter(builds.values())), server.url)
        for command in ("migrate", "seed"):
            subprocess.run([sys.executable, "-m", "restwell", command], env=env, cwd=ROOT, check=True)
        asyncio.run(restock(server.url))
        for turn in range(options.rounds):
            for work in figures:
                for label, source in builds.items():
                    with serving(source, server.url, work) as base:
                        if source == EXPRESS:
                            tables = asyncio.run(tables_for_express(base, server.url))
                        else:
                            tables = asyncio.run(tables_for(base)) if source != RAW else ""
                        load(base, tables + EACH[work], 1 + (turn == 0), Path(folder))
                        figures[work][label].append(load(base, tables + EACH[work], options.seconds, Path(folder)))
    result = {
        work: {
            label: {key: round(statistics.median(run[key] for run in runs), 1) for key in ("rate", "p99")}
            for label, runs in each.items()
        }
        for work, each in figures.items()
    }
    for work, each in result.items():
        print(work, "  ".join(f"{label}: {one['rate']:.0f}/s p99 {one['p99']} ms" for label, one in each.items()))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
