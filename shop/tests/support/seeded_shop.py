"""Credentials and identifiers of a seeded shop, for fuzzed requests."""

import json
from typing import Any

from msgspec import Struct

from fuzzing import InProcess
from shop.demo import PASSWORD

JSON = b"application/json"


class SeededShop(Struct, frozen=True):
    """``values``: valid values by parameter name."""

    admin: bytes
    refresh: bytes
    client_id: str
    client_secret: str
    values: dict[str, tuple[str, ...]]


def seeded_shop_of(server: InProcess) -> SeededShop:
    def post(path: str, body: object, *headers: tuple[bytes, bytes]) -> Any:
        response = server.send("POST", path, [(b"content-type", JSON), *headers], json.dumps(body).encode())
        assert response.status == 201, response.body
        return json.loads(response.body)

    def sign_in(name: str) -> dict[str, str]:
        tokens: dict[str, str] = post("/v1/sessions", {"email": f"{name}@shop.example", "password": PASSWORD})
        return tokens

    token = sign_in("admin")["access_token"]
    admin = (b"authorization", b"Bearer " + token.encode())
    products = json.loads(server.send("GET", "/v1/products?limit=100").body)
    users = json.loads(server.send("GET", "/v1/users?limit=1", [admin]).body)
    client = post("/v1/clients", {"name": "Warehouse", "scopes": ["events:read", "orders:read"]}, admin)
    order = post(
        "/v1/orders",
        {"items": [{"product_id": products["items"][0]["id"], "quantity": 1}]},
        admin,
        (b"idempotency-key", b"an order"),
    )
    flow = server.app.kit.oauth_flows.start("okta", return_to="/account#x")
    return SeededShop(
        admin=token.encode(),
        refresh=sign_in("customer1")["refresh_token"].encode(),
        client_id=client["id"],
        client_secret=client["secret"],
        values={
            "product_id": tuple(one["id"] for one in products["items"]),
            "user_id": (users["items"][0]["id"],),
            "order_id": (order["id"],),
            "limit": ("1", "100"),
            "cursor": (products["next_cursor"], users["next_cursor"]),
            "category": ("audio",),
            "q": ("wireless headphones",),
            "min_price": ("1",),
            "max_price": ("100000",),
            "sort": ("price_cents", "-created_at"),
            "fields": ("id,name,price_cents",),
            "state": ("done", flow.state),
            "provider": ("okta",),
            "size": ("small",),
            "return_to": ("/account?a=b#c",),
            "iss": ("https://issuer.example",),
        },
    )
