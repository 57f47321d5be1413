"""The load of ``split.py``: reads, orders, cancellations and changes of a price, at a constant rate."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import httpx
from msgspec import Struct

from servers import TLS
from shop_client import ShopClient

CLIENTS = 12
MIX = ("order", "product", "list", "product", "order", "list", "product", "list", "cancellation", "product")
EDIT_SECONDS = 0.2

Json = dict[str, Any]


class Sample(Struct, frozen=True):
    """``seconds`` of the client, with all repetitions."""

    at: float
    kind: str
    seconds: float


class Load:
    """A connection for each request: nginx closes idle ones when it loads its configuration.

    As every client should, they repeat what is refused with 503 and Retry-After, orders with the same key.
    """

    def __init__(self, url: str, customer: Json, products: Sequence[Json], per_second: float) -> None:
        self._url, self._customer, self._products = url, customer, products
        self._interval = CLIENTS / per_second
        self._open: deque[str] = deque()
        self.is_over = False
        self.samples: list[Sample] = []
        self.placed: list[str] = []
        self.cancelled: set[str] = set()
        self.failures: list[str] = []
        self.refused = 0
        self.price = 0

    async def run(self, admins: Sequence[Json]) -> None:
        """``admins``: the tokens of each service. The last product is the one whose price changes."""
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)), self._edit(admins))
        async with self._connect() as client:  # some orders of each step
            buyer = ShopClient(client)
            buyer.tokens = self._customer
            for order_id in list(self._open)[:: max(1, len(self._open) // 20)]:
                await self._cancel(buyer, order_id)

    def _connect(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.AsyncClient(base_url=self._url, timeout=30, limits=limits, verify=TLS)

    async def _client(self, number: int) -> None:
        due = time.monotonic() + self._interval * number / CLIENTS
        async with self._connect() as client:
            buyer = ShopClient(client)
            buyer.tokens = self._customer
            for count in itertools.count():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += self._interval
                if self.is_over:
                    return
                await self._request(buyer, MIX[(number + count) % len(MIX)], f"{number} {count}")

    async def _request(self, buyer: ShopClient, kind: str, key: str) -> None:
        product = self._products[len(self.samples) % len(self._products)]
        if kind == "order":
            body = {"items": [{"product_id": product["id"], "quantity": 1}]}
            answer = await self._send(buyer, kind, "POST", "/v1/orders", body, idempotency_key=key)
            if answer is not None:
                self.placed.append(answer.json()["id"])
                self._open.append(self.placed[-1])
        elif kind == "list":
            await self._send(buyer, kind, "GET", f"/v1/products?category={product['category']}")
        elif kind == "product" or not self._open:
            await self._send(buyer, kind, "GET", f"/v1/products/{product['id']}")
        else:
            await self._cancel(buyer, self._open.popleft())  # the oldest, so that it was often placed in another step

    async def _cancel(self, buyer: ShopClient, order_id: str) -> None:
        if await self._send(buyer, "cancellation", "POST", f"/v1/orders/{order_id}/cancellation"):
            self.cancelled.add(order_id)

    async def _edit(self, admins: Sequence[Json]) -> None:
        """Each service has accounts of its own: after a 401 the admin uses the tokens of the other one."""
        product = self._products[-1]
        path, self.price = f"/v1/products/{product['id']}", product["price_cents"]
        current = 0
        async with self._connect() as client:
            admin = ShopClient(client)
            while not self.is_over:
                admin.tokens = admins[current]
                body = {"price_cents": self.price + 1}
                answer = await self._send(admin, "change", "PATCH", path, body, (401,), if_match="*")
                if answer is None:
                    return
                if answer.status_code == 401 and current + 1 < len(admins):
                    current += 1
                    there = await self._send(admin, "product", "GET", path)
                    if there is not None and there.json()["price_cents"] != self.price:
                        self.failures.append(f"change: lost, {self.price} is {there.json()['price_cents']}")
                elif answer.status_code == 200:
                    self.price += 1
                else:
                    self.failures.append(f"change: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(EDIT_SECONDS)

    async def _send(
        self,
        caller: ShopClient,
        kind: str,
        method: str,
        path: str,
        body: Json | None = None,
        allowed: Sequence[int] = (),
        **headers: str,
    ) -> httpx.Response | None:
        """The answer to a request that has not failed."""
        began = time.monotonic()
        while True:
            try:
                answer = await caller.send(method, path, body, **headers)
            except httpx.HTTPError as error:
                self.failures.append(f"{kind}: {error!r}")
                return None
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                break
            self.refused += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.is_success:
            self.samples.append(Sample(began, kind, time.monotonic() - began))
        elif answer.status_code not in allowed:
            self.failures.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer
