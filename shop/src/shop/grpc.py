"""gRPC: the catalogue and orders. Their messages are in ``shop/proto``; ``make proto`` generates ``shop.v1``."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell.grpc import Grpc, rpc
from restwell.pages import Page
from restwell.web import post
from shop.orders.routes import OrderController
from shop.products.routes import ProductController
from shop.products.schemas import Product
from shop.products.service import ProductService
from shop.v1.catalog_pb2_grpc import CatalogServiceServicer
from shop.v1.orders_pb2_grpc import OrderServiceServicer


class ProductWatch(Struct, frozen=True):
    product_ids: Annotated[list[UUID], Meta(min_length=1, max_length=100)]


class WatchedProduct(Struct, frozen=True):
    product_id: UUID
    product: Product | None


@post("/products/changes")
async def watch_products(data: ProductWatch, products: ProductService) -> AsyncIterator[WatchedProduct]:
    """Watch products."""
    return (WatchedProduct(product_id, product) async for product_id, product in products.watch(data.product_ids))


class Catalog(CatalogServiceServicer):
    GetProduct = rpc(ProductController.get_product)
    ListProducts = rpc(ProductController.list_products, returns=Page[Product], omit=["fields"])
    WatchProducts = rpc(watch_products)


class Orders(OrderServiceServicer):
    CreateOrder = rpc(OrderController.create_order)
    GetOrder = rpc(OrderController.get_order)
    ListOrders = rpc(OrderController.list_orders)
    CancelOrder = rpc(OrderController.cancel_order)


grpc: Final = Grpc(Catalog, Orders)
