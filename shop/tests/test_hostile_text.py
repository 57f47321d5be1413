"""Text and numbers that the database cannot store are a 422 or 400, never a 500."""

import pytest

from cases import each
from shop_client import ShopClient


@each("number", [10**30, 2**63, 10**10, -1])
async def test_a_number_out_of_range_is_refused(admin: ShopClient, number: int) -> None:
    draft = {"name": "x", "category": "toys", "price_cents": number, "currency": "EUR", "stock": 1}
    assert (await admin.send("POST", "/v1/products", draft)).status_code == 422


@pytest.mark.slow
@each("query", ["q=%00", "q=%ED%A0%80", "category=%00", "cursor=%00", "min_price=1" + "0" * 30])
async def test_a_query_value_that_no_column_can_hold_causes_no_5xx(anyone: ShopClient, query: str) -> None:
    assert (await anyone.get(f"/v1/products?{query}")).status_code in {200, 400, 422}
