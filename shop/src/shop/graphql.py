"""GraphQL: the catalogue, the own account, and orders with their products."""

from pathlib import Path
from typing import Final

from msgspec import Struct

from restwell.graphql import Field, GraphQL, relation
from restwell.pages import Page
from restwell.web import get
from shop.orders.routes import OrderController
from shop.orders.schemas import OrderItem
from shop.products.routes import ProductController
from shop.products.schemas import Product
from shop.products.service import ProductService


class Category(Struct, frozen=True):
    name: str


@get("/categories")
async def list_categories(products: ProductService) -> list[Category]:
    """List the categories that have products, in alphabetical order."""
    return [Category(name) for name in await products.list_categories()]


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
    relations=[product],
    documents=Path(__file__).with_name("graphql-documents.json"),
)
