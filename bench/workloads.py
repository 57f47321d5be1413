"""The workloads, and the checks of responses. A contender with a wrong response is disqualified.

W1: a cached list of 20. W2: a product by id, not cached. W3: a list of 20 by category and cursor, not cached. W4: the
current user. W5: placing an order. W6: nine cached reads per order. ``bench/README.md`` lists what each contender must
do.
"""

import asyncio
import json
import time
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
from joserfc import jwt
from joserfc.jwk import OctKey
from msgspec import Struct

from contenders import NODE, PYTHON, SECRET, UPPER_BOUNDS, RunningContender
from servers import Postgres
from shop_client import ShopClient  # test helpers

USER_COUNT: Final = 20
PRODUCT_COUNT: Final = 5_000
_PICK: Final = {
    "list": 'wrk.format("GET", "/v1/products?limit=20")',
    "product": 'wrk.format("GET", "/v1/products/" .. ids[math.random(#ids)])',
    "page": 'wrk.format("GET", "/v1/products?limit=20" .. queries[math.random(#queries)])',
    "orders": 'wrk.format("GET", "/v1/orders", {["Authorization"] = tokens[math.random(#tokens)]})',
    "me": 'wrk.format("GET", "/v1/users/me", {["Authorization"] = tokens[math.random(#tokens)]})',
}
_ORDER: Final = """local n = 0
local run = math.random(1e9)
order = function()
  n = n + 1
  local headers = {["Authorization"] = tokens[math.random(#tokens)], ["Content-Type"] = "application/json",
                   ["Idempotency-Key"] = "bench-" .. run .. "-" .. n}
  local body = '{"items":[{"product_id":"' .. ids[math.random(#ids)] .. '","quantity":1}]}'
  return wrk.format("POST", "/v1/orders", headers, body)
end
"""
SCRIPTS: Final = {
    "W1": f"request = function() return {_PICK['list']} end",
    "W2": f"request = function() return {_PICK['product']} end",
    "W3": f"request = function() return {_PICK['page']} end",
    "W4": f"request = function() return {_PICK['me']} end",
    "W5": f"{_ORDER}request = order",
    "W6": f"""{_ORDER}request = function()
  local one = math.random(10)
  if one == 10 then return order() end
  if one > 5 then return {_PICK["page"]} end
  return {_PICK["product"]}
end""",
}
CASE_STUDY: Final = f"""{_ORDER}request = function()
  local one = math.random(20)
  if one == 20 then return order() end
  if one > 14 then return {_PICK["orders"]} end
  if one > 9 then return {_PICK["product"]} end
  return {_PICK["page"]}
end"""
"""The workload of the case study: per placed order nine lists, five products and five order lists."""
CACHED: Final = frozenset({"W1", "W4", "W5", "W6"})
"""The workloads with the cache on."""

_PRODUCT: Final = {
    "id",
    "name",
    "description",
    "category",
    "price_cents",
    "currency",
    "stock",
    "version",
    "created_at",
    "updated_at",
}
_USER: Final = {"id", "email", "email_verified", "name", "role", "active", "created_at", "updated_at"}
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age=",
    "x-frame-options": "",
    "content-security-policy": "",
    "content-type": "application/json",
}


class RequestData(Struct):
    """The data of requests: product ids, query strings of lists, and access tokens."""

    ids: list[str]
    queries: list[str]
    tokens: list[str]

    def as_lua(self) -> str:
        tables = {"ids": self.ids, "queries": self.queries, "tokens": [f"Bearer {token}" for token in self.tokens]}
        lines = [f"{name} = {{{','.join(map(json.dumps, values))}}}\n" for name, values in tables.items()]
        return "".join([*lines, "math.randomseed(os.time())\n"])


class WrongResponse(Exception):
    """A contender sent a wrong response."""


def add_users(server: Postgres) -> None:
    """Add 10,000 users with the demo password, who own the loaded orders, and refill the stock."""
    server.run_sql(
        "INSERT INTO users (id, email, name, password_hash, role, active, created_at, updated_at)"
        " SELECT lpad(to_hex(i), 32, '0')::uuid, 'buyer' || i || '@shop.example', 'Buyer ' || i, password_hash, role,"
        " true,"
        " created_at, updated_at FROM generate_series(0, 9999) i, users WHERE email = 'customer1@shop.example'"
    )
    server.run_sql("UPDATE products SET stock = 100000000")
    server.run_sql(
        "CREATE TABLE peer_keys"
        " (user_id uuid, key text, body_hash bytea NOT NULL, answer jsonb, PRIMARY KEY (user_id, key))"
    )
    server.run_sql("VACUUM ANALYZE")
    server.run_sql("CHECKPOINT")


async def request_data_for(serving: RunningContender, products: int = 100_000) -> RequestData:
    """The request data for a contender, which issues the cursors and tokens, with a catalogue of ``products``."""
    async with httpx.AsyncClient(base_url=serving.url, timeout=30) as client:
        numbers = range(1, products + 1, max(products // PRODUCT_COUNT, 1))
        ids = [str(UUID(f"{1_700_000_000_000 + i:012x}70008000{i:012x}")) for i in numbers]
        queries: list[str] = []
        if serving.name != "raw-asgi":
            for category in (f"kind-{number}" for number in range(0, 50, 5)):
                page = (await client.get(f"/v1/products?limit=20&category={category}")).json()
                queries += [f"&category={category}", f"&category={category}&cursor={page['next_cursor']}"]
            cursor = ""
            for _ in range(30):
                page = (await client.get(f"/v1/products?limit=20{cursor}")).json()
                cursor = f"&cursor={page['next_cursor']}"
                queries.append(cursor)
        if serving.name in UPPER_BOUNDS:
            return RequestData(ids, queries, [])
        if serving.name not in {*NODE, *PYTHON}:
            clients = [await ShopClient(client).sign_in(f"buyer{number}@shop.example") for number in range(USER_COUNT)]
            return RequestData(ids, queries, [person.tokens["access_token"] for person in clients])
    key = OctKey.import_key(SECRET)
    claims = {"iss": "shop", "aud": "shop", "iat": int(time.time()), "exp": int(time.time()) + 3_600}
    users = [str(UUID(int=number)) for number in range(USER_COUNT)]
    tokens = [jwt.encode({"alg": "HS256"}, {"sub": user, **claims}, key, algorithms=["HS256"]) for user in users]
    return RequestData(ids, queries, tokens)


async def check(serving: RunningContender, data: RequestData, url: str) -> None:
    """Check the response of each workload, and of invalid requests. Raises WrongResponse."""
    connection = await asyncpg.connect(url)
    try:
        async with httpx.AsyncClient(base_url=serving.url, timeout=30) as client:
            if serving.name != "raw-asgi":
                await _check_reads(client, connection, data)
            if serving.name in UPPER_BOUNDS:
                return
            auth = {"authorization": f"Bearer {data.tokens[0]}"}
            me = (await client.get("/v1/users/me", headers=auth)).json()
            _require(set(me) == _USER, f"current user: {me}")
            _require((me["email"], me["email_verified"]) == ("buyer0@shop.example", False), f"current user: {me}")
            _require((await client.get("/v1/users/me")).status_code in {401, 403}, "current user without a token")
            await _check_orders(client, connection, data, auth)
            await _check_middleware(client, serving)
    finally:
        await connection.close()


def _require(condition: bool, what: str) -> None:  # noqa: FBT001  # like an assertion
    if not condition:
        raise WrongResponse(what[:500])


def _same(response: dict[str, Any], row: asyncpg.Record) -> bool:
    times = {name: datetime.fromisoformat(response[name]) for name in ("created_at", "updated_at")}
    return {**response, **times, "id": str(response["id"])} == {**dict(row), "id": str(row["id"])}


async def _check_reads(client: httpx.AsyncClient, connection: asyncpg.Connection, data: RequestData) -> None:
    fields = ", ".join(sorted(_PRODUCT))
    for one in data.ids[:3]:
        response = (await client.get(f"/v1/products/{one}")).json()
        sql = f"SELECT {fields} FROM products WHERE id = $1"  # noqa: S608  # constant names
        row = await connection.fetchrow(sql, one)
        _require(_same(response, row), f"a product: {response}")
    newest = f"SELECT {fields} FROM products ORDER BY created_at DESC, id DESC LIMIT 40"  # noqa: S608  # as above
    rows = await connection.fetch(newest)
    first = (await client.get("/v1/products?limit=20")).json()
    second = (await client.get(f"/v1/products?limit=20&cursor={first['next_cursor']}")).json()
    both = [*first["items"], *second["items"]]
    _require(len(both) == 40 and all(map(_same, both, rows)), f"the list: {first}")  # two pages


async def _check_orders(
    client: httpx.AsyncClient, connection: asyncpg.Connection, data: RequestData, auth: dict[str, str]
) -> None:
    key = {"idempotency-key": f"check-{uuid4()}"}
    body = {"items": [{"product_id": data.ids[7], "quantity": 2}]}
    stock = "SELECT stock FROM products WHERE id = $1"
    before = await connection.fetchval(stock, data.ids[7])
    responses = [await client.post("/v1/orders", json=body, headers=auth | key) for _ in range(2)]
    orders = [response.json() for response in responses]
    _require([response.status_code for response in responses] == [201, 201], f"an order: {responses[0].text}")
    _require(orders[0]["id"] == orders[1]["id"], "the same key twice created two orders")
    _require(await connection.fetchval(stock, data.ids[7]) == before - 2, "the stock after an order")
    lines = await connection.fetch("SELECT quantity FROM order_lines WHERE order_id = $1", orders[0]["id"])
    _require([line["quantity"] for line in lines] == [2], "the lines of an order")
    other = {"items": [{"product_id": data.ids[8], "quantity": 2}]}
    wrong = [
        await client.post("/v1/orders", json=other, headers=auth | key),
        await client.post("/v1/orders", json=body, headers=auth),
        await client.post("/v1/orders", json=body, headers={"idempotency-key": "x"}),
        await client.post("/v1/orders", json={"items": []}, headers=auth | {"idempotency-key": "y"}),
    ]
    _require(all(400 <= one.status_code < 500 for one in wrong), f"an invalid request was accepted: {wrong}")  # a 4xx


async def _check_middleware(client: httpx.AsyncClient, serving: RunningContender) -> None:
    response = await client.get("/v1/products?limit=20")
    for name, value in _HEADERS.items():
        _require(value in response.headers.get(name, "-"), f"the header {name}: {response.headers.get(name)}")
        _require(name in response.headers, f"the header {name} is missing")
    limits = [name for name in response.headers if "ratelimit" in name]
    _require(bool(limits), "no rate limit header")
    unknown_path = f"/v1/products/{uuid4()}"
    _require((await client.get(unknown_path)).status_code == 404, "a product that does not exist")  # not found
    lines: list[dict[str, Any]] = []
    for _ in range(20):
        lines = [json.loads(line) for line in serving.log.read_text().splitlines() if unknown_path in line]
        if lines:
            break
        await asyncio.sleep(0.1)
    _require(len(lines) == 1 and lines[0]["status"] == 404, f"access log line: {lines}")  # as above
