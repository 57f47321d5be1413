"""Text and numbers that the database cannot store are a 422 or 400, never a 500."""

import httpx

from cases import each
from shop_client import ShopClient

JSON = {"content-type": "application/json"}
ACCOUNT = '{"email": "%s", "password": "a long enough password", "name": "%s"}'


@each(
    ("email", "name"),
    [("a@b.example", "\\ud800"), ("a@b.example", "a\\u0000b"), ("a\\u0000@b.example", "n"), ("\\udfff@b.example", "n")],
)
async def test_a_text_with_a_nul_or_half_a_surrogate_pair_is_refused(
    client: httpx.AsyncClient, email: str, name: str
) -> None:
    answer = await client.post("/v1/users", content=ACCOUNT % (email, name), headers=JSON)
    assert answer.status_code in {400, 422}, answer.text


@each("number", [10**30, 2**63, 10**10, -1])
async def test_a_number_out_of_range_is_refused(admin: ShopClient, number: int) -> None:
    draft = {"name": "x", "category": "toys", "price_cents": number, "currency": "EUR", "stock": 1}
    assert (await admin.send("POST", "/v1/products", draft)).status_code == 422


@each("query", ["q=%00", "q=%ED%A0%80", "category=%00", "cursor=%00", "min_price=1" + "0" * 30])
async def test_a_query_value_that_no_column_can_hold_causes_no_5xx(anyone: ShopClient, query: str) -> None:
    assert (await anyone.get(f"/v1/products?{query}")).status_code in {200, 400, 422}
