"""The personal data export contains all data of the user, and no data of others."""

import pytest

from api_client import Json
from restwell.accounts._export import service
from shop_client import ShopClient


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of one item, so that lists have several pages."""
    monkeypatch.setattr(service, "PAGE_SIZE", 2)


async def everything(api: ShopClient) -> Json:
    answer = await api.get("/v1/users/me/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="export.json"'
    assert answer.headers["cache-control"] == "no-store"
    export: Json = answer.json()
    return export


async def test_the_export_holds_all_data_of_a_user(customer: ShopClient, other: ShopClient) -> None:
    product = await customer.first_product()
    placed = [(await customer.order(f"mine {number}", (product["id"], 1))).json() for number in range(5)]
    await other.order("anothers", (product["id"], 1))
    export = await everything(customer)
    assert export.keys() == {"account", "identities", "sessions", "orders", "security_events"}
    assert export["account"] == (await customer.get("/v1/users/me")).json()
    assert export["orders"] == placed[::-1]
    assert export["sessions"] == (await customer.get("/v1/sessions")).json()["items"]
    assert [one["type"] for one in export["security_events"]] == ["data_exported", "signed_in"]
    assert export["identities"] == []


async def test_the_export_of_a_user_without_data_has_empty_lists(other: ShopClient) -> None:
    assert (await everything(other))["orders"] == []


async def test_the_export_of_an_admin_holds_only_their_own_data(customer: ShopClient, admin: ShopClient) -> None:
    """Fails if the export uses the admin's access to all data."""
    product = await customer.first_product()
    await customer.order("not an admin's", (product["id"], 1))
    export = await everything(admin)
    assert export["orders"] == []
    assert {one["user_id"] for one in export["security_events"]} == {export["account"]["id"]}
