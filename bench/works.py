"""The works that contenders are measured at, and whether one answers as it must: who does not is out of the race.

W1 a kept list of 20; W2 a product by its id, not kept; W3 a list of 20 by category and cursor, not kept; W4 the own account; W5 placing an
order; W6 nine reads, kept, for each order. Every contender does the same duties: see ``bench/README.md``.
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

from api_client import ApiClient  # the tests' own helpers
from contenders import LIMITS, NODE, PYTHON, SECRET, Serving
from servers import Postgres

BUYERS: Final = 20
IDS: Final = 5_000
_PICK: Final = {
    "list": 'wrk.format("GET", "/v1/products?limit=20")',
    "product": 'wrk.format("GET", "/v1/products/" .. ids[math.random(#ids)])',
    "page": 'wrk.format("GET", "/v1/products?limit=20" .. tails[math.random(#tails)])',
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
MIXED: Final = f"""{_ORDER}request = function()
  local one = math.random(20)
  if one == 20 then return order() end
  if one > 14 then return {_PICK["orders"]} end
  if one > 9 then return {_PICK["product"]} end
  return {_PICK["page"]}
end"""
"""The case study's: nine lists, five products and five times one's own orders for each order that is placed."""
KEPT: Final = frozenset({"W1", "W4", "W5", "W6"})
"""Where the cache is on."""

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


class Subjects(Struct):
    """What the requests are about: ids of products, queries of lists, and tokens."""

    ids: list[str]
    tails: list[str]
    tokens: list[str]

    def as_lua(self) -> str:
        tables = {"ids": self.ids, "tails": self.tails, "tokens": [f"Bearer {token}" for token in self.tokens]}
        lines = [f"{name} = {{{','.join(map(json.dumps, values))}}}\n" for name, values in tables.items()]
        return "".join([*lines, "math.randomseed(os.time())\n"])


class Disqualified(Exception):
    """What a contender answered wrongly."""


def add_people(server: Postgres) -> None:
    """Ten thousand users with the password of the demo, among whom the orders of the large shop are spread; and stock for all."""
    server.run_sql(
        "INSERT INTO users (id, email, name, password_hash, role, active, created_at, updated_at)"
        " SELECT lpad(to_hex(i), 32, '0')::uuid, 'buyer' || i || '@shop.example', 'Buyer ' || i, password_hash, role, true,"
        " created_at, updated_at FROM generate_series(0, 9999) i, users WHERE email = 'customer1@shop.example'"
    )
    server.run_sql("UPDATE products SET stock = 100000000")
    server.run_sql(
        "CREATE TABLE peer_keys (user_id uuid, key text, body_hash bytea NOT NULL, answer jsonb, PRIMARY KEY (user_id, key))"
    )
    server.run_sql("VACUUM ANALYZE")
    server.run_sql("CHECKPOINT")


async def subjects_for(serving: Serving, products: int = 100_000) -> Subjects:
    """The same for each of so many ``products``; cursors and tokens as the contender makes them."""
    async with httpx.AsyncClient(base_url=serving.url, timeout=30) as client:
        numbers = range(1, products + 1, max(products // IDS, 1))
        ids = [str(UUID(f"{1_700_000_000_000 + i:012x}70008000{i:012x}")) for i in numbers]
        tails: list[str] = []
        if serving.name != "raw-asgi":
            for category in (f"kind-{number}" for number in range(0, 50, 5)):
                page = (await client.get(f"/v1/products?limit=20&category={category}")).json()
                tails += [f"&category={category}", f"&category={category}&cursor={page['next_cursor']}"]
            cursor = ""
            for _ in range(30):
                page = (await client.get(f"/v1/products?limit=20{cursor}")).json()
                cursor = f"&cursor={page['next_cursor']}"
                tails.append(cursor)
        if serving.name in LIMITS:
            return Subjects(ids, tails, [])
        if serving.name not in {*NODE, *PYTHON}:
            people = [await ApiClient(client).sign_in(f"buyer{number}@shop.example") for number in range(BUYERS)]
            return Subjects(ids, tails, [person.tokens["access_token"] for person in people])
    key = OctKey.import_key(SECRET)
    claims = {"iss": "shop", "aud": "shop", "iat": int(time.time()), "exp": int(time.time()) + 3_600}
    users = [str(UUID(int=number)) for number in range(BUYERS)]
    tokens = [jwt.encode({"alg": "HS256"}, {"sub": user, **claims}, key, algorithms=["HS256"]) for user in users]
    return Subjects(ids, tails, tokens)


async def check(serving: Serving, subjects: Subjects, url: str) -> None:
    """Ask for each work once, and for what must be refused. Raises Disqualified."""
    connection = await asyncpg.connect(url)
    try:
        async with httpx.AsyncClient(base_url=serving.url, timeout=30) as client:
            if serving.name != "raw-asgi":
                await _check_reads(client, connection, subjects)
            if serving.name in LIMITS:
                return
            auth = {"authorization": f"Bearer {subjects.tokens[0]}"}
            me = (await client.get("/v1/users/me", headers=auth)).json()
            _demand(set(me) == _USER, f"the own account: {me}")
            _demand((me["email"], me["email_verified"]) == ("buyer0@shop.example", False), f"the own account: {me}")
            _demand((await client.get("/v1/users/me")).status_code in {401, 403}, "an account without a token")
            await _check_orders(client, connection, subjects, auth)
            await _check_duties(client, serving)
    finally:
        await connection.close()


def _demand(holds: bool, what: str) -> None:  # noqa: FBT001  # as in an assertion
    if not holds:
        raise Disqualified(what[:500])


def _same(shown: dict[str, Any], row: asyncpg.Record) -> bool:
    times = {name: datetime.fromisoformat(shown[name]) for name in ("created_at", "updated_at")}
    return {**shown, **times, "id": str(shown["id"])} == {**dict(row), "id": str(row["id"])}


async def _check_reads(client: httpx.AsyncClient, connection: asyncpg.Connection, subjects: Subjects) -> None:
    fields = ", ".join(sorted(_PRODUCT))
    for one in subjects.ids[:3]:
        shown = (await client.get(f"/v1/products/{one}")).json()
        row = await connection.fetchrow(f"SELECT {fields} FROM products WHERE id = $1", one)  # noqa: S608  # names of ours
        _demand(_same(shown, row), f"a product: {shown}")
    newest = f"SELECT {fields} FROM products ORDER BY created_at DESC, id DESC LIMIT 40"  # noqa: S608  # as above
    rows = await connection.fetch(newest)
    first = (await client.get("/v1/products?limit=20")).json()
    second = (await client.get(f"/v1/products?limit=20&cursor={first['next_cursor']}")).json()
    both = [*first["items"], *second["items"]]
    _demand(len(both) == 40 and all(map(_same, both, rows)), f"the list: {first}")  # two pages


async def _check_orders(
    client: httpx.AsyncClient, connection: asyncpg.Connection, subjects: Subjects, auth: dict[str, str]
) -> None:
    key = {"idempotency-key": f"check-{uuid4()}"}
    body = {"items": [{"product_id": subjects.ids[7], "quantity": 2}]}
    stock = "SELECT stock FROM products WHERE id = $1"
    before = await connection.fetchval(stock, subjects.ids[7])
    answers = [await client.post("/v1/orders", json=body, headers=auth | key) for _ in range(2)]
    orders = [answer.json() for answer in answers]
    _demand([answer.status_code for answer in answers] == [201, 201], f"an order: {answers[0].text}")
    _demand(orders[0]["id"] == orders[1]["id"], "the same key twice makes two orders")
    _demand(await connection.fetchval(stock, subjects.ids[7]) == before - 2, "what an order takes from the stock")
    lines = await connection.fetch("SELECT quantity FROM order_lines WHERE order_id = $1", orders[0]["id"])
    _demand([line["quantity"] for line in lines] == [2], "the lines of an order")
    other = {"items": [{"product_id": subjects.ids[8], "quantity": 2}]}
    wrong = [
        await client.post("/v1/orders", json=other, headers=auth | key),
        await client.post("/v1/orders", json=body, headers=auth),
        await client.post("/v1/orders", json=body, headers={"idempotency-key": "x"}),
        await client.post("/v1/orders", json={"items": []}, headers=auth | {"idempotency-key": "y"}),
    ]
    _demand(all(400 <= one.status_code < 500 for one in wrong), f"what must be refused: {wrong}")  # a 4xx


async def _check_duties(client: httpx.AsyncClient, serving: Serving) -> None:
    answer = await client.get("/v1/products?limit=20")
    for name, value in _HEADERS.items():
        _demand(value in answer.headers.get(name, "-"), f"the header {name}: {answer.headers.get(name)}")
        _demand(name in answer.headers, f"the header {name} is missing")
    limits = [name for name in answer.headers if "ratelimit" in name]
    _demand(bool(limits), "no header tells of the rate limit")
    marked = f"/v1/products/{uuid4()}"
    _demand((await client.get(marked)).status_code == 404, "a product that is not there")  # not found
    lines: list[dict[str, Any]] = []
    for _ in range(20):
        lines = [json.loads(line) for line in serving.log.read_text().splitlines() if marked in line]
        if lines:
            break
        await asyncio.sleep(0.1)
    _demand(len(lines) == 1 and lines[0]["status"] == 404, f"one line of JSON for a request: {lines}")  # as above
