"""Two versions of the API from the same services: each has its schemas, and nothing crosses between them."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api_client import Json, assert_problem, error_paths
from restwell import App
from restwell.settings import OauthSettings
from restwell.testing import ApiClient, OpenIdProvider, running
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

DRAFT: Json = {"name": "Two", "category": "audio", "price": {"amount": 500, "currency": "EUR"}, "stock": 9}


@pytest.fixture
async def product(admin: ShopClient) -> Json:
    made = await admin.post("/v2/products", DRAFT)
    assert (made.status_code, made.headers["etag"]) == (201, '"1.v2"')
    assert made.headers["location"] == f"/v2/products/{made.json()['id']}"
    found: Json = made.json()
    return found


async def order(customer: ShopClient, prefix: str, key: str, product: Json, quantity: int = 1) -> httpx.Response:
    items = [{"product_id": product["id"], "quantity": quantity}]
    return await customer.send("POST", f"{prefix}/orders", {"items": items}, idempotency_key=key)


async def test_a_product_has_the_price_of_each_version(anyone: ShopClient, product: Json) -> None:
    old = (await anyone.get(f"/v1/products/{product['id']}")).json()
    new = (await anyone.get(f"/v2/products/{product['id']}")).json()
    assert (old.pop("price_cents"), old.pop("currency")) == (500, "EUR")
    assert new.pop("price") == {"amount": 500, "currency": "EUR"}
    assert old == new


async def test_a_change_of_a_price_is_a_merge_patch(admin: ShopClient, product: Json) -> None:
    path, tag = f"/v2/products/{product['id']}", '"1.v2"'
    for changes, price in (
        ({"price": {"amount": 700}}, {"amount": 700, "currency": "EUR"}),
        ({"price": {"currency": "CHF"}}, {"amount": 700, "currency": "CHF"}),
        ({"stock": 3, "description": None}, {"amount": 700, "currency": "CHF"}),
    ):
        changed = await admin.send("PATCH", path, changes, if_match=tag)
        assert (changed.status_code, changed.json()["price"]) == (200, price)
        tag = changed.headers["etag"]
    refused = await admin.send("PATCH", path, {"price": {"amount": -1}}, if_match=tag)
    assert error_paths(assert_problem(refused, 422, "invalid")) == {"$.price.amount"}
    assert_problem(await admin.send("PATCH", path, {"price_cents": 1}, if_match=tag), 422, "invalid")


async def test_products_are_sorted_and_selected_by_the_names_of_the_version(anyone: ShopClient) -> None:
    cheapest = (await anyone.get("/v2/products?sort=price&limit=3&fields=price,name")).json()
    assert [each.keys() for each in cheapest["data"]] == [{"name", "price"}] * 3
    prices = [each["price"]["amount"] for each in cheapest["data"]]
    assert prices == sorted(prices)
    assert [each.keys() for each in (await anyone.get("/v2/products?limit=1&fields=id")).json()["data"]] == [{"id"}]
    old = (await anyone.get("/v1/products?sort=price_cents&limit=3&fields=price_cents,name")).json()
    assert [each["price_cents"] for each in old["items"]] == prices
    for query in ("sort=price_cents", "fields=price_cents", "fields=currency"):
        refused = assert_problem(await anyone.get(f"/v2/products?{query}"), 422, "invalid")
        assert error_paths(refused) == {query.partition("=")[0]}


@pytest.mark.parametrize("path", ["/v2/products?category=audio", "/v2/orders", "/v2/users"])
async def test_every_list_has_the_pages_of_the_version(admin: ShopClient, product: Json, path: str) -> None:
    for number in range(3):
        assert (await order(admin, "/v2", f"key {number}", product)).status_code == 201
    joined = "&" if "?" in path else "?"
    first = await admin.get(f"{path}{joined}limit=2")
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    second = await admin.get(first.json()["next"])
    both = [each["id"] for page in (first, second) for each in page.json()["data"]]
    assert len(set(both)) == len(both) > 2


async def test_the_items_of_an_order_have_stable_ids(customer: ShopClient, product: Json) -> None:
    placed = (await order(customer, "/v2", "a key", product, 2)).json()
    assert placed["total"] == {"amount": 1_000, "currency": "EUR"}
    (item,) = placed["items"]
    assert item["unit_price"] == {"amount": 500, "currency": "EUR"}
    assert (await customer.get(f"/v2/orders/{placed['id']}")).json()["items"] == [item]
    assert (await customer.get("/v2/orders")).json()["data"][0]["items"] == [item]
    exported = [(await customer.get(f"{prefix}/users/me/export")).json()["orders"][0] for prefix in ("/v1", "/v2")]
    assert (exported[0]["total_cents"], exported[1]["items"]) == (1_000, [item])
    cancelled = await customer.post(f"/v2/orders/{placed['id']}/cancellation")
    assert cancelled.json() == {**placed, "status": "cancelled"}


async def test_a_stored_response_is_never_that_of_the_other_version(customer: ShopClient, product: Json) -> None:
    """Fails if the path is not part of what an idempotency key belongs to."""
    for first, second in (("/v1", "/v2"), ("/v2", "/v1")):
        key = f"a key of {first}"
        placed = await order(customer, first, key, product)
        assert placed.headers["location"] == f"{first}/orders/{placed.json()['id']}"
        assert_problem(await order(customer, second, key, product), 422, "idempotency_key_reused")
        assert (await order(customer, first, key, product)).content == placed.content


@pytest.mark.slow
async def test_a_cursor_and_an_etag_of_the_other_version_are_refused(admin: ShopClient, product: Json) -> None:
    """Fails if the version is not part of the scope of a cursor, and of the entity tag."""
    old, new = [(await admin.get(f"{prefix}/products?limit=1")).headers["link"] for prefix in ("/v1", "/v2")]
    for link, prefix in ((old, "/v2"), (new, "/v1")):
        cursor = link.partition("cursor=")[2].partition(">")[0]
        assert_problem(await admin.get(f"{prefix}/products?limit=1&cursor={cursor}"), 400, "invalid_cursor")
    for tag, prefix in (('"1.v1"', "/v2"), ('"1.v2"', "/v1")):
        path = f"{prefix}/products/{product['id']}"
        assert (await admin.get(path, if_none_match=tag)).status_code == 200
        assert_problem(await admin.send("PATCH", path, {"stock": 1}, if_match=tag), 412, "precondition_failed")
        assert_problem(await admin.send("DELETE", path, if_match=tag), 412, "precondition_failed")


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["/v1", "/v2"])
async def test_a_write_in_one_version_invalidates_what_is_cached_of_both(
    admin: ShopClient, product: Json, writer: str
) -> None:
    """Fails if the tags of cached responses contain the version."""
    paths = [f"{prefix}/products{rest}" for prefix in ("/v1", "/v2") for rest in (f"/{product['id']}", "?limit=1")]
    for path in paths:
        await admin.get(path)
        assert "hit" in (await admin.get(path)).headers["cache-status"]
    changed = await admin.send("PATCH", f"{writer}/products/{product['id']}", {"stock": 77}, if_match="*")
    assert changed.status_code == 200
    for path in paths:
        found: Any = (await admin.get(path)).json()
        for each in found.get("items") or found.get("data") or [found]:
            assert each["stock"] == 77


async def test_the_first_version_announces_its_end(anyone: ShopClient, app: App) -> None:
    for path in ("/products?limit=1", "/users/me", "/nothing"):
        old, new = [await anyone.get(f"{prefix}{path}") for prefix in ("/v1", "/v2")]
        assert old.headers["link"].endswith(
            '</docs>; rel="deprecation", </docs>; rel="sunset", </v2>; rel="successor-version"'
        )
        assert {"deprecation", "sunset"} <= old.headers.keys()
        assert not {"deprecation", "sunset"} & new.headers.keys()
    paths = [
        {path[3:] for path in app.documents[prefix]["paths"] if path.startswith(prefix)} for prefix in ("/v1", "/v2")
    ]
    assert paths[0] == paths[1]


@pytest.mark.slow
async def test_a_sign_in_with_a_provider_stays_in_its_version(settings: ShopSettings) -> None:
    """Fails if the redirect URI names one version: the client of the other would leave it. The session is of both."""
    with OpenIdProvider() as provider:
        oauth = OauthSettings(providers=(SecretStr(provider.setting("okta")),))
        app = create_app(settings.model_copy(update={"oauth": oauth}))
        async with running(app) as client:
            for prefix in ("/v1", "/v2"):
                browser = ShopClient(client)
                (offered,) = (await browser.get(f"{prefix}/identities")).json()["items"]
                callback = await browser.authorize(offered["url"])
                assert callback.startswith(f"{prefix}/identities/okta/callback?")
                assert (await browser.get(callback)).status_code == 200
                for each in ("/v1", "/v2"):
                    assert (await browser.get(f"{each}/users/me")).json()["email"] == "ada@example.com"


@pytest.mark.slow
async def test_a_machine_client_gets_its_token_in_each_version(admin: ShopClient, app: App) -> None:
    made = (await admin.post("/v2/clients", {"name": "a machine", "scopes": ["orders:read"]})).json()
    for prefix in ("/v1", "/v2"):
        machine = await ApiClient(admin.client).use_client_credentials(
            made["id"], made["secret"], path=f"{prefix}/oauth/token"
        )
        assert (await machine.get("/v2/orders")).json() == {"data": [], "next": None}
        scheme = app.documents[prefix]["components"]["securitySchemes"]["client_credentials"]
        assert scheme["flows"]["clientCredentials"]["tokenUrl"] == f"{prefix}/oauth/token"
