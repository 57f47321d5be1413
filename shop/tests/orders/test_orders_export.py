"""The orders in the personal data export."""

from restwell.testing import ApiClient
from shop_client import ShopClient


async def exported(api: ApiClient) -> object:
    return (await api.get("/v1/users/me/export")).json()["orders"]


async def test_the_export_has_the_orders_of_the_user_and_no_others(
    customer: ShopClient, other: ShopClient, admin: ShopClient
) -> None:
    """Fails if the export of an admin uses the admin's access to all orders."""
    product = await customer.first_product()
    placed = [(await customer.order(f"mine {number}", (product["id"], 1))).json() for number in range(2)]
    theirs = await other.order("another's", (product["id"], 1))
    assert await exported(customer) == placed[::-1]
    assert await exported(other) == [theirs.json()]
    assert await exported(admin) == []
