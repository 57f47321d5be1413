"""A client of the shop's HTTP API, for one user."""

from pathlib import Path
from typing import Final, Self

import httpx

from api_client import Json
from restwell.testing import ApiClient
from shop.demo import PASSWORD

SUPPORT: Final = Path(__file__).parent


class ShopClient(ApiClient):
    """Sends the access token of its user after ``sign_in``."""

    async def sign_in(self, email: str, password: str = PASSWORD, *, cookies: bool = False, **more: object) -> Self:
        return await super().sign_in(email, password, cookies=cookies, **more)

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


async def product_with(admin: ShopClient, stock: int, **changed: object) -> Json:
    """A new product with this stock."""
    body = {
        "name": "Rare Thing",
        "category": "toys",
        "price_cents": 1_500,
        "currency": "EUR",
        "stock": stock,
        **changed,
    }
    product: Json = (await admin.send("POST", "/v1/products", body)).json()
    return product
