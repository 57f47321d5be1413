"""A client of the shop's HTTP API, for one user."""

import asyncio
from pathlib import Path
from typing import Final

import httpx

from api_client import ApiClient, Json
from shop.demo import PASSWORD

SUPPORT: Final = Path(__file__).parent


class ShopClient(ApiClient):
    """Sends the access token of its user after ``sign_in``."""

    async def sign_in(self, email: str, password: str = PASSWORD) -> "ShopClient":
        credentials = {"email": email, "password": password}
        while (answer := await self.client.post("/v1/sessions", json=credentials)).status_code == 503:
            assert answer.json()["code"] == "overloaded", answer.text  # a busy machine refuses some
            await asyncio.sleep(0.2)
        assert answer.status_code == 201, answer.text
        self.tokens = answer.json()
        return self

    async def sign_in_at(self, url: str, email: str) -> "ShopClient":
        """Sign in at one of several servers."""
        answer = await self.client.post(f"{url}/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self.tokens = answer.json()
        return self

    async def order(self, key: str, *lines: tuple[str, int]) -> httpx.Response:
        items = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
        return await self.send("POST", "/v1/orders", {"items": items}, idempotency_key=key)

    async def first_product(self, query: str = "") -> Json:
        answer = await self.get(f"/v1/products?limit=1&{query}")
        product: Json = answer.json()["items"][0]
        return product

    async def stock_of(self, product: Json) -> int:
        stock: int = (await self.get(f"/v1/products/{product['id']}")).json()["stock"]
        return stock
