"""gRPC of the shop: the same services, rules and limits as the routes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import pytest

from api_client import Json
from grpc_client import failure, token
from restwell import App
from restwell.settings import GrpcSettings
from servers import free_port
from shop.settings import ShopSettings
from shop.v1 import catalog_pb2, catalog_pb2_grpc, orders_pb2, orders_pb2_grpc
from shop_client import ShopClient

CatalogStub: Any = catalog_pb2_grpc.CatalogServiceStub
OrderStub: Any = orders_pb2_grpc.OrderServiceStub
Code: Final = grpc.StatusCode
MISSING: Final = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"


@pytest.fixture
def settings(settings: ShopSettings) -> ShopSettings:
    return settings.model_copy(update={"grpc": GrpcSettings(port=free_port())})


@pytest.fixture
async def channel(anyone: ShopClient, settings: ShopSettings) -> AsyncIterator[grpc.aio.Channel]:  # noqa: ARG001  # the server runs
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc.port}") as channel:
        yield channel


def order_of(*lines: tuple[str, int]) -> orders_pb2.CreateOrderRequest:
    items = [orders_pb2.OrderItemRequest(product_id=each, quantity=quantity) for each, quantity in lines]
    return orders_pb2.CreateOrderRequest(items=items)


def as_json(message: Any) -> Json:
    """A product as the route has it."""
    found = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    times = {name: found[name].ToJsonString() for name in ("created_at", "updated_at")}
    return {**found, **times}


async def test_the_catalogue_is_that_of_the_routes(anyone: ShopClient, channel: grpc.aio.Channel) -> None:
    """Fails if a value, a filter or a cursor differs from the route."""
    stub = CatalogStub(channel)
    route = (await anyone.get("/v1/products?limit=3&category=audio&sort=price_cents&max_price=90000")).json()
    sent = catalog_pb2.ListProductsRequest(limit=3, category="audio", max_price=90_000)
    sent.sort = catalog_pb2.PRODUCT_SORT_CHEAPEST
    page = await stub.ListProducts(sent)
    assert [as_json(each) for each in page.items] == route["items"]
    sent.cursor = page.next_cursor
    following = await stub.ListProducts(sent)
    assert not {each.id for each in following.items} & {each.id for each in page.items}
    assert len(following.items) == 3
    one = await stub.GetProduct(catalog_pb2.GetProductRequest(product_id=page.items[0].id))
    assert one.product == page.items[0]
    for wrong in (MISSING, "no-uuid", ""):
        sent_id = catalog_pb2.GetProductRequest(product_id=wrong)
        assert (await failure(stub.GetProduct(sent_id))).code == Code.NOT_FOUND
    invalid = await failure(stub.ListProducts(catalog_pb2.ListProductsRequest(limit=101, min_price=-1)))
    assert sorted(invalid.fields) == ["limit", "min_price"]


@pytest.mark.slow
async def test_orders_are_placed_once_and_read_by_their_owner(
    customer: ShopClient, other: ShopClient, channel: grpc.aio.Channel
) -> None:
    """Fails if a repeated call takes stock twice, or if another user reads or cancels the order."""
    stub = OrderStub(channel)
    own, theirs = token(customer.tokens["access_token"]), token(other.tokens["access_token"])
    first = await customer.first_product("category=audio")
    draft = order_of((first["id"], 2))
    placed, again = [
        (await stub.CreateOrder(draft, metadata=(*own, ("idempotency-key", "grpc-1")))).order for _ in range(2)
    ]
    assert placed == again
    assert await customer.stock_of(first) == first["stock"] - 2
    route = (await customer.get(f"/v1/orders/{placed.id}")).json()
    assert (placed.total_cents, placed.currency) == (route["total_cents"], route["currency"])
    assert placed.status == orders_pb2.ORDER_STATUS_PENDING
    assert [(each.product_id, each.quantity) for each in placed.items] == [(first["id"], 2)]
    assert (await stub.GetOrder(orders_pb2.GetOrderRequest(order_id=placed.id), metadata=own)).order.id == placed.id
    for call in (
        stub.GetOrder(orders_pb2.GetOrderRequest(order_id=placed.id), metadata=theirs),
        stub.CancelOrder(orders_pb2.CancelOrderRequest(order_id=placed.id), metadata=theirs),
    ):
        assert (await failure(call)).code == Code.NOT_FOUND
    assert not (await stub.ListOrders(orders_pb2.ListOrdersRequest(), metadata=theirs)).items
    listed = (await stub.ListOrders(orders_pb2.ListOrdersRequest(limit=1), metadata=own)).items
    assert [each.id for each in listed] == [placed.id]
    cancelled = await stub.CancelOrder(orders_pb2.CancelOrderRequest(order_id=placed.id), metadata=own)
    assert cancelled.order.status == orders_pb2.ORDER_STATUS_CANCELLED
    assert await customer.stock_of(first) == first["stock"]


async def test_an_order_without_stock_says_which_product(customer: ShopClient, channel: grpc.aio.Channel) -> None:
    product = await customer.first_product("category=audio")
    metadata = token(customer.tokens["access_token"], idempotency_key="grpc-2")
    found = await failure(OrderStub(channel).CreateOrder(order_of((product["id"], 10_000)), metadata=metadata))
    assert (found.code, found.reason, found.fields) == (
        Code.FAILED_PRECONDITION,
        "OUT_OF_STOCK",
        ["items[0].product_id"],
    )
    found = await failure(OrderStub(channel).CreateOrder(order_of(("x", 0)), metadata=metadata))
    assert found.fields == ["items[0].product_id", "items[0].quantity"]


@pytest.mark.slow
async def test_watched_products_are_sent_when_they_change(
    admin: ShopClient, customer: ShopClient, channel: grpc.aio.Channel
) -> None:
    """Fails if a change by a route is not sent, or if a product is sent again that has not changed."""
    first, second = (await admin.get("/v1/products?limit=2&category=audio")).json()["items"]
    watch = CatalogStub(channel).WatchProducts(
        catalog_pb2.WatchProductsRequest(product_ids=[first["id"], MISSING, second["id"]])
    )
    now = [await watch.read() for _ in range(3)]
    assert [each.product_id for each in now] == [first["id"], MISSING, second["id"]]
    assert [each.HasField("product") for each in now] == [True, False, True]
    await customer.order("watched", (first["id"], 3))
    changed = await asyncio.wait_for(watch.read(), 20)
    assert (changed.product_id, changed.product.stock) == (first["id"], first["stock"] - 3)
    await admin.send("DELETE", f"/v1/products/{second['id']}", if_match="*")
    deleted = await asyncio.wait_for(watch.read(), 20)
    assert (deleted.product_id, deleted.HasField("product")) == (second["id"], False)
    watch.cancel()
    too_many = CatalogStub(channel).WatchProducts(catalog_pb2.WatchProductsRequest(product_ids=[MISSING] * 101))
    assert (await failure(too_many)).fields == ["product_ids"]


def test_the_application_has_all_services(app: App) -> None:
    names = {
        each.name.split("/")[1] for transport in app.transports for each in transport.operations if each.kind == "RPC"
    }
    assert names == {"shop.v1.CatalogService", "shop.v1.OrderService", "shop.v1.StockService"}
