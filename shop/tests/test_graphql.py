"""GraphQL of the shop: the same services, rules and limits as the routes."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from graphql import GraphQLObjectType, build_schema

from api_client import Json
from event_streams import subscribed
from restwell import App
from restwell.graphql import GraphQLServer
from restwell.settings import GraphqlSettings
from restwell.testing import running
from servers import ROOT, restwell
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

GUIDE: Final = ROOT / "docs/graphql.md"
DOCUMENTS: Final = ROOT / "shop/documents"
SCHEMA: Final = Path(__file__).with_name("contract") / "schema.graphql"
MISSING: Final = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
ORDERS: Final = "{ orders(first: 10) { nodes { id status totalCents items { quantity product { id name stock } } } } }"
WATCH: Final = "subscription($id: UUID!) { order(orderId: $id) { status items { product { stock } } } }"
PLACE: Final = (
    "mutation($input: OrderCreateRequest!) { placeOrder(input: $input) { id status items { product { stock } } } }"
)


async def ask(client: ShopClient, query: str, key: str | None = None, **variables: Any) -> Json:
    headers = {"idempotency_key": key} if key is not None else {}
    answer = await client.post("/graphql", {"query": query, "variables": variables}, **headers)
    found: Json = answer.json()
    return found


def codes(found: Json) -> list[str]:
    return [each["extensions"]["code"] for each in found["errors"]]


@pytest.mark.slow
async def test_the_catalogue_is_that_of_the_routes(anyone: ShopClient) -> None:
    """Fails if a list, a filter or a cursor differs from the route."""
    text = """query($after: String) { products(first: 3, category: "audio", sort: CHEAPEST, maxPrice: 90000,
        after: $after) { nodes { id name priceCents currency createdAt } pageInfo { endCursor } }
        categories { name } }"""
    found = (await ask(anyone, text))["data"]
    route = (await anyone.get("/v1/products?limit=3&category=audio&sort=price_cents&max_price=90000")).json()
    assert [each["id"] for each in found["products"]["nodes"]] == [each["id"] for each in route["items"]]
    assert found["products"]["nodes"][0]["createdAt"] == route["items"][0]["created_at"]
    following = (await ask(anyone, text, after=found["products"]["pageInfo"]["endCursor"]))["data"]["products"]
    page = (await anyone.get(f"/v1/products?{route_query(route)}")).json()
    assert [each["id"] for each in following["nodes"]] == [each["id"] for each in page["items"]]
    names = [each["name"] for each in found["categories"]]
    assert "audio" in names
    assert names == sorted(set(names))


def route_query(route: Json) -> str:
    return f"limit=3&category=audio&sort=price_cents&max_price=90000&cursor={route['next_cursor']}"


async def test_a_new_category_appears_at_once(anyone: ShopClient, admin: ShopClient) -> None:
    """Fails if a change of the products does not invalidate the categories."""
    before = (await ask(anyone, "{ categories { name } }"))["data"]["categories"]
    draft = {"name": "Kite", "category": "zzz-kites", "price_cents": 1, "currency": "EUR", "stock": 1}
    assert (await admin.post("/v1/products", draft)).status_code == 201
    after = (await ask(anyone, "{ categories { name } }"))["data"]["categories"]
    assert after == [*before, {"name": "zzz-kites"}]


@pytest.mark.slow
async def test_orders_are_placed_once_and_read_with_their_products(
    customer: ShopClient, other: ShopClient, app: App
) -> None:
    """Fails if a repeated mutation takes stock twice, or if products are read one by one: queries are counted."""
    first, second = (await customer.get("/v1/products?limit=2&category=audio")).json()["items"]
    sent = {"items": [{"productId": first["id"], "quantity": 2}, {"productId": second["id"], "quantity": 1}]}
    placed, again = [await ask(customer, PLACE, "graphql-1", input=sent) for _ in range(2)]
    assert placed["data"]["placeOrder"]["id"] == again["data"]["placeOrder"]["id"]
    assert placed["data"]["placeOrder"]["items"][0]["product"]["stock"] == first["stock"] - 2
    assert await customer.stock_of(first) == first["stock"] - 2
    for number in range(3):
        await ask(customer, PLACE, f"more-{number}", input={"items": [{"productId": first["id"], "quantity": 1}]})
    orders = (await ask(customer, ORDERS))["data"]["orders"]["nodes"]
    assert len(orders) == 4
    assert [each["quantity"] for each in orders[-1]["items"]] == [2, 1]
    assert orders[-1]["items"][1]["product"]["name"] == second["name"]
    assert not app.query_budget.violations

    order_id = placed["data"]["placeOrder"]["id"]
    one = "query($id: UUID!) { order(orderId: $id) { id } }"
    assert (await ask(customer, one, id=order_id))["data"]["order"] == {"id": order_id}
    assert codes(await ask(other, one, id=order_id)) == ["not_found"]
    cancel = "mutation($id: UUID!) { cancelOrder(orderId: $id) { status items { product { stock } } } }"
    assert codes(await ask(other, cancel, id=order_id)) == ["not_found"]
    cancelled = (await ask(customer, cancel, id=order_id))["data"]["cancelOrder"]
    assert (cancelled["status"], cancelled["items"][1]["product"]["stock"]) == ("CANCELLED", second["stock"])


async def test_rules_of_orders_have_the_codes_of_the_routes(customer: ShopClient) -> None:
    product = await customer.first_product()
    for items, code in (
        ([{"productId": product["id"], "quantity": 10_000}], "out_of_stock"),
        ([{"productId": MISSING, "quantity": 1}], "invalid"),
        ([], "invalid"),
    ):
        found = await ask(customer, PLACE, "k", input={"items": items})
        assert (codes(found), found["data"]) == ([code], {"placeOrder": None})


@pytest.mark.slow
async def test_a_deleted_product_of_an_order_is_null(customer: ShopClient, admin: ShopClient) -> None:
    draft = {"name": "Kite", "category": "toys", "price_cents": 1, "currency": "EUR", "stock": 1}
    product = (await admin.post("/v1/products", draft)).json()
    await ask(customer, PLACE, "k", input={"items": [{"productId": product["id"], "quantity": 1}]})
    await admin.delete(f"/v1/products/{product['id']}", if_match="*")
    found = await ask(customer, ORDERS)
    assert (found["data"]["orders"]["nodes"][0]["items"], "errors" in found) == (
        [{"quantity": 1, "product": None}],
        False,
    )


@pytest.mark.slow
async def test_an_order_is_watched_until_it_is_cancelled(app: App, customer: ShopClient, other: ShopClient) -> None:
    """Fails if a change by a route is not sent, if another user may watch it, or if the stream does not end."""
    product = await customer.first_product("category=audio")
    order_id = (await customer.order("watched", (product["id"], 2))).json()["id"]
    async with subscribed(app, WATCH, customer.tokens["access_token"], id=order_id) as stream:
        now = (await stream.event())["data"]["order"]
        assert (now["status"], now["items"][0]["product"]["stock"]) == ("PENDING", product["stock"] - 2)
        await customer.post(f"/v1/orders/{order_id}/cancellation")
        changed = (await stream.event())["data"]["order"]
        assert (changed["status"], changed["items"][0]["product"]["stock"]) == ("CANCELLED", product["stock"])
        assert await stream.event() is None
    async with subscribed(app, WATCH, other.tokens["access_token"], id=order_id) as stream:
        assert codes(await stream.event()) == ["not_found"]


@pytest.mark.slow
async def test_a_subscription_ends_with_its_session(app: App, customer: ShopClient, admin: ShopClient) -> None:
    """Fails if a user who has logged out receives another event: the guards of the route run before each."""
    product = await customer.first_product("category=audio")
    order_id = (await customer.order("logged-out", (product["id"], 1))).json()["id"]
    async with subscribed(app, WATCH, customer.tokens["access_token"], id=order_id) as stream:
        assert (await stream.event())["data"]["order"]["status"] == "PENDING"
        assert (await customer.delete("/v1/sessions/current")).status_code == 204
        assert (await admin.post(f"/v1/orders/{order_id}/cancellation")).status_code == 200
        assert codes(await stream.event()) == ["unauthorized"]
        assert await stream.event() is None


async def test_the_own_account_needs_a_session(customer: ShopClient, anyone: ShopClient) -> None:
    found = await ask(customer, "{ me { id email role } }")
    route = (await customer.get("/v1/users/me")).json()
    assert found["data"]["me"] == {"id": route["id"], "email": route["email"], "role": "CUSTOMER"}
    assert codes(await ask(anyone, "{ me { id } }")) == ["unauthorized"]


def test_the_trusted_documents_are_those_of_the_folder(app: App) -> None:
    """Fails if one was changed without ``restwell graphql persist``, or if the schema breaks one that clients use."""
    server = app.service(GraphQLServer)
    assert server.trusted_file is not None
    trusted = json.loads(server.trusted_file.read_text())
    assert set(document_ids().values()) <= {f"sha256:{each}" for each in trusted}
    for text in trusted.values():
        server.documents.check(text)


@pytest.mark.slow
async def test_production_runs_the_trusted_documents_only(settings: ShopSettings) -> None:
    """Fails if the shop needs a setting to serve its own documents, or runs any other."""
    ids = document_ids()
    strict = settings.model_copy(update={"graphql": GraphqlSettings(documents="trusted")})
    app = create_app(strict)
    async with running(app) as client:
        customer = await ShopClient(client).sign_in("customer1@shop.example")

        async def run(name: str, key: str = "", **variables: Any) -> Any:
            headers = {"idempotency_key": key} if key else {}
            sent = {"documentId": ids[name], "variables": variables}
            return (await customer.post("/graphql", sent, **headers)).json()["data"]

        product = (await run("products", category="audio"))["products"]["nodes"][0]
        placed = await run("place-order", "k", input={"items": [{"productId": product["id"], "quantity": 1}]})
        order_id = placed["placeOrder"]["id"]
        assert (await run("orders"))["orders"]["nodes"][0]["id"] == order_id
        token = customer.tokens["access_token"]
        async with subscribed(app, token=token, document_id=ids["watch-order"], orderId=order_id) as stream:
            assert (await stream.event())["data"]["order"] == {"id": order_id, "status": "PENDING"}
        assert (await run("cancel-order", orderId=order_id))["cancelOrder"]["status"] == "CANCELLED"
        assert codes(await ask(customer, "{ categories { name } }")) == ["document_not_trusted"]


@pytest.mark.integration
def test_the_command_of_the_guide_persists_the_documents() -> None:
    """Fails if the file of the documents is not what the command writes."""
    (command,) = re.findall(r"^cd shop && restwell (graphql persist .*)$", GUIDE.read_text(), re.MULTILINE)
    file = ROOT / "shop/src/shop/graphql-documents.json"
    before = file.read_text()
    done = restwell(*command.split(), cwd=ROOT / "shop")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, len(list(DOCUMENTS.iterdir())))
    assert file.read_text() == before


def test_the_schema_is_the_snapshot_and_has_the_fields_of_the_openapi_document(app: App) -> None:
    """Fails if the schema changes unnoticed: ``restwell graphql schema > shop/tests/contract/schema.graphql``."""
    sdl = app.service(GraphQLServer).sdl
    assert sdl == SCHEMA.read_text()
    schema = build_schema(sdl)
    components = app.documents["/v1"]["components"]["schemas"]
    for name in ("Product", "Order", "OrderItem", "User"):
        kind = schema.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        described = {camel(each) for each in components[name]["properties"]}
        assert kind.fields.keys() == described | ({"product"} if name == "OrderItem" else set())


async def test_the_requests_of_the_guide_work(app: App, customer: ShopClient) -> None:
    body, subscription = re.findall(r"-d '(.*)'", GUIDE.read_text())
    found = (await customer.post("/graphql", json.loads(body))).json()
    assert len(found["data"]["products"]["nodes"]) == 2
    product = await customer.first_product("category=audio")
    order_id = (await customer.order("guide", (product["id"], 1))).json()["id"]
    sent = json.loads(subscription.replace("'$ORDER_ID'", order_id))
    async with subscribed(app, sent["query"], customer.tokens["access_token"], **sent["variables"]) as stream:
        assert await stream.event() == {"data": {"order": {"status": "PENDING"}}}


def document_ids() -> dict[str, str]:
    """The id of each document of the folder."""
    return {each.stem: f"sha256:{sha256(each.read_bytes()).hexdigest()}" for each in DOCUMENTS.glob("*.graphql")}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))
