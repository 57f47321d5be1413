"""GraphQL: the catalogue, the own account, and orders with their products."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from restwell.auth import Actor
from restwell.graphql import Field, GraphQL, relation
from restwell.pages import Page
from restwell.web import get, signed_in_or_scope
from shop.access import Scope
from shop.orders.routes import OrderController
from shop.orders.schemas import Order, OrderItem
from shop.orders.service import OrderService
from shop.products.routes import ProductController
from shop.products.schemas import Product
from shop.products.service import ProductService


class Category(Struct, frozen=True):
    name: str


@get("/categories")
async def list_categories(products: ProductService) -> list[Category]:
    """List the categories that have products, in alphabetical order."""
    return [Category(name) for name in await products.list_categories()]


@get("/orders/{order_id}/changes", guards=[signed_in_or_scope(Scope.ORDERS_READ)])
async def watch_order(order_id: UUID, actor: Actor, orders: OrderService) -> AsyncIterator[Order]:
    """Watch an order: as it is now, and again whenever it has changed, until it is cancelled or has failed."""
    return orders.watch(actor, order_id)


@relation
async def product(item: OrderItem, products: ProductService) -> Product | None:
    """The product as it is now. Null if it was deleted."""
    return await products.get_product(item.product_id)


graphql: Final = GraphQL(
    queries={
        "products": Field(handler=ProductController.list_products, returns=Page[Product], omit=["fields"]),
        "product": ProductController.get_product,
        "categories": list_categories,
        "me": "get_own_account",
        "orders": OrderController.list_orders,
        "order": OrderController.get_order,
    },
    mutations={"placeOrder": OrderController.create_order, "cancelOrder": OrderController.cancel_order},
    subscriptions={"order": watch_order},
    relations=[product],
    documents=Path(__file__).with_name("graphql-documents.json"),
)
