"""The upper bound of throughput: a bare ASGI function on Granian, without middleware.

It answers every request with the same ``SIZE`` bytes; with ``DATABASE_URL``, a product or a page of 20 by one query of
asyncpg, on a pool of 10 whose connections are not reset, written by msgspec.
"""

import base64
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import asyncpg
import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY = b"x" * int(os.environ.get("SIZE", "7000"))
FIELDS = "id, name, description, category, price_cents, currency, stock, version, created_at, updated_at"
NEWEST = "ORDER BY created_at DESC, id DESC LIMIT 21"
PRODUCT = f"SELECT {FIELDS} FROM products WHERE id = $1"
PAGES = {
    (False, False): f"SELECT {FIELDS} FROM products {NEWEST}",
    (True, False): f"SELECT {FIELDS} FROM products WHERE category = $1 {NEWEST}",
    (False, True): f"SELECT {FIELDS} FROM products WHERE (created_at, id) < ($1, $2) {NEWEST}",
    (True, True): f"SELECT {FIELDS} FROM products WHERE category = $1 AND (created_at, id) < ($2, $3) {NEWEST}",
}
encode = msgspec.json.Encoder().encode
here = re.compile("/v1/products/([0-9a-f-]{36})").fullmatch


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fixed(scope: Message, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send, BODY)


async def save_result(_connection: object) -> None:
    """Replaces asyncpg's reset, which is a round trip."""


class Reads:
    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._url, min_size=10, max_size=10, reset=save_result)
        found = here(scope["path"])
        if found is not None:
            await answer(send, encode(dict(await self._pool.fetchrow(PRODUCT, UUID(found[1])) or {})))
            return
        asked = parse_qs(scope["query_string"].decode())
        after: tuple[object, ...] = ()
        if "cursor" in asked:
            time, last = msgspec.json.decode(base64.urlsafe_b64decode(asked["cursor"][0]), type=tuple[datetime, UUID])
            after = (time, last)
        arguments = (*asked.get("category", []), *after)
        rows = [dict(row) for row in await self._pool.fetch(PAGES["category" in asked, bool(after)], *arguments)]
        cursor = None
        if len(rows) > 20:
            del rows[20:]
            cursor = base64.urlsafe_b64encode(encode((rows[-1]["created_at"], rows[-1]["id"]))).decode()
        await answer(send, encode({"items": rows, "next_cursor": cursor}))


app = Reads(os.environ["DATABASE_URL"]) if "DATABASE_URL" in os.environ else fixed

if __name__ == "__main__":
    Server(
        "server:app",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()
