"""gRPC: the catalogue, stock and orders. Their messages are in ``shop/proto``; ``make proto`` generates ``shop.v1``."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell.grpc import Grpc, rpc
from restwell.pages import Page
from restwell.web import post, requires_role
from shop.access import Role, Scope
from shop.orders.routes import OrderController
from shop.orders.schemas import MAX_LINES, OrderItemRequest
from shop.products.reservations import Reservations
from shop.products.routes import ProductController
from shop.products.schemas import Product
from shop.products.service import ProductService
from shop.products.stock import OutOfStock, ReservationExpired, ReservedItem
from shop.v1.catalog_pb2_grpc import CatalogServiceServicer
from shop.v1.orders_pb2_grpc import OrderServiceServicer
from shop.v1.stock_pb2_grpc import StockServiceServicer

SERVICES_ONLY: Final = [requires_role(Role.ADMIN, or_scope=Scope.STOCK_RESERVE)]


class ProductWatch(Struct, frozen=True):
    product_ids: Annotated[list[UUID], Meta(min_length=1, max_length=100)]


class WatchedProduct(Struct, frozen=True):
    product_id: UUID
    product: Product | None


class StockReservation(Struct, frozen=True):
    order_id: UUID
    items: Annotated[list[OrderItemRequest], Meta(min_length=1, max_length=MAX_LINES)]


@post("/products/changes")
async def watch_products(data: ProductWatch, products: ProductService) -> AsyncIterator[WatchedProduct]:
    """Watch products."""
    return (WatchedProduct(product_id, product) async for product_id, product in products.watch(data.product_ids))


@post(
    "/stock",
    guards=SERVICES_ONLY,
    rate_limit=None,
    query_budget={"products.reserve_stock": MAX_LINES},
    raises=[OutOfStock],
)
async def reserve_stock(data: StockReservation, reservations: Reservations) -> list[ReservedItem]:
    """Reserve the stock of an order."""
    return await reservations.reserve(data.order_id, {item.product_id: item.quantity for item in data.items})


@post("/stock/{order_id}/confirmation", guards=SERVICES_ONLY, rate_limit=None, raises=[ReservationExpired])
async def confirm_stock(order_id: UUID, reservations: Reservations) -> None:
    """Keep the stock of an order until it is released."""
    await reservations.confirm(order_id)


@post(
    "/stock/{order_id}/release",
    guards=SERVICES_ONLY,
    rate_limit=None,
    query_budget={"products.release_stock": MAX_LINES},
)
async def release_stock(order_id: UUID, reservations: Reservations) -> None:
    """Return the stock of an order."""
    await reservations.release(order_id)


class Catalog(CatalogServiceServicer):
    GetProduct = rpc(ProductController.get_product)
    ListProducts = rpc(ProductController.list_products, returns=Page[Product], omit=["fields"])
    WatchProducts = rpc(watch_products)


class Stock(StockServiceServicer):
    ReserveStock = rpc(reserve_stock)
    ConfirmStock = rpc(confirm_stock)
    ReleaseStock = rpc(release_stock)


class Orders(OrderServiceServicer):
    CreateOrder = rpc(OrderController.create_order)
    GetOrder = rpc(OrderController.get_order)
    ListOrders = rpc(OrderController.list_orders)
    CancelOrder = rpc(OrderController.cancel_order)


grpc: Final = Grpc(Catalog, Stock, Orders)
grpc_of_orders: Final = Grpc(Orders)
"""Beside a catalogue that is another service."""
