"""A client of the shop's HTTP API, and assertions on its responses."""

import asyncio
from pathlib import Path
from typing import Any, Final

import httpx

from shop.demo import PASSWORD

SUPPORT: Final = Path(__file__).parent
PATCH = "application/merge-patch+json"

Json = dict[str, Any]


class ApiClient:
    """An HTTP client that sends the access token of its user after ``sign_in``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.tokens: Json = {}

    async def sign_in(self, email: str, password: str = PASSWORD) -> "ApiClient":
        credentials = {"email": email, "password": password}
        while (answer := await self.client.post("/v1/sessions", json=credentials)).status_code == 503:
            assert answer.json()["code"] == "overloaded", answer.text  # a busy machine refuses some
            await asyncio.sleep(0.2)
        assert answer.status_code == 201, answer.text
        self.tokens = answer.json()
        return self

    async def sign_in_at(self, url: str, email: str) -> "ApiClient":
        """Sign in at one of several servers."""
        answer = await self.client.post(f"{url}/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self.tokens = answer.json()
        return self

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request with the access token. Header names have underscores instead of hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.tokens:
            sent.setdefault("authorization", f"Bearer {self.tokens['access_token']}")
        if body is not None and "content-type" not in sent:
            sent["content-type"] = PATCH if method == "PATCH" else "application/json"
        return (
            await self.client.request(method, path, json=body, headers=sent)
            if body is not None
            else (await self.client.request(method, path, headers=sent))
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("GET", path, **headers)

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


def assert_problem(answer: httpx.Response, status: int, code: str) -> Json:
    """Assert that the response is this problem with all members. Returns the problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem: Json = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= problem.keys()
    return problem


def error_paths(problem: Json) -> set[str]:
    return {error["path"] for error in problem["errors"]}
