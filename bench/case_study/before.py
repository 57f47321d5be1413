"""The shop with the performance problems of the guide's case study. ``STEP`` selects how many are fixed.

It replaces two services of the shop. Routes and responses are the same.
"""

import os
from enum import IntEnum
from typing import Any

from sqlalchemy import func, select

from restwell import App, Project
from restwell.accounts._users.models import users
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, param, query
from restwell.mail import Mailer, open_mailer, render_mail
from restwell.pages import Cursors, Page, PageFilter
from shop import app
from shop.emails import SIGNATURE
from shop.money import format_money
from shop.orders import queries as order_queries
from shop.orders.schemas import Order, OrderCreateRequest
from shop.orders.service import OrderService
from shop.products import queries
from shop.products.models import products
from shop.products.schemas import Product, ProductFilter
from shop.products.service import ProductService
from shop.settings import ShopSettings


class Step(IntEnum):
    """The fixes so far. ``run.py`` applies the indexes, the cache and the workers."""

    BEFORE = 0
    INDEXES = 1
    JOINS = 2
    CACHE = 3
    JOBS = 4
    WORKERS = 5


STEP = Step(int(os.environ.get("STEP", "0")))

_in_category = products.c.category == param("category")
_offset_page = (
    select(*(products.c[name] for name in Product.__struct_fields__))
    .order_by(products.c.created_at.desc(), products.c.id.desc())
    .limit(param("count"))
    .offset(param("offset"))
)
_total = select(func.count().label("total")).select_from(products)
offset_page = query("before.products", _offset_page, into=Product)
offset_page_of_category = query("before.products_of_category", _offset_page.where(_in_category), into=Product)
recipient = query("before.recipient", select(users.c.email).where(users.c.id == param("id")), into=str)
count_products = query("before.count", _total, into=int)
count_products_of_category = query("before.count_of_category", _total.where(_in_category), into=int)


class OffsetPaginatedProducts(ProductService):
    """Offset pagination with a count of all rows. Without the cache: no row of a page is a cached one."""

    def __init__(self, database: Database, cache: Cache, cursors: Cursors) -> None:
        super().__init__(database, cache, cursors)
        self._cursors = cursors

    async def list_products(self, filters: ProductFilter) -> Page[Any]:
        scope = f"offset {filters.category}"
        (number,) = self._cursors.decode(scope, filters.cursor, tuple[int]) if filters.cursor else (0,)
        arguments: dict[str, Any] = {} if filters.category is None else {"category": filters.category}
        page, count = (
            (offset_page_of_category, count_products_of_category) if arguments else (offset_page, count_products)
        )
        offset = number * filters.limit
        found = await self._database.all(page, **arguments, count=filters.limit, offset=offset)
        more = offset + filters.limit < await self._database.one(count, **arguments)
        return Page(list(found), self._cursors.encode(scope, (number + 1,)) if more else None)


class MonolithicOrders(OrderService):
    """N+1 queries for the lines and products of orders, and mail sent before the response."""

    mailer: Mailer

    async def list_orders(self, actor: Actor, filters: PageFilter) -> Page[Order]:
        page = await super().list_orders(actor, filters)
        if STEP >= Step.JOINS:
            return page
        for order in page.items:
            for line in await self._database.all(order_queries.lines_of, order_ids=[order.id]):
                await self._database.find(queries.by_id, id=line.product_id)
        return page

    async def place(self, actor: Actor, draft: OrderCreateRequest) -> Order:
        order = await super().place(actor, draft)
        if STEP < Step.JOBS:
            email = await self._database.one(recipient, id=actor.id)
            lines = [
                (f"{line.quantity} x", line.name, format_money(line.unit_price_cents, order.currency))
                for line in order.items
            ]
            subject = f"Your order of {order.created_at:%d %B %Y}"
            thanks = ["Thank you for your order. This is what we have noted:"]
            mail = render_mail(
                to=email, subject=subject, paragraphs=thanks, table=lines, key=str(order.id), signature=SIGNATURE
            )
            await self.mailer.send(mail)
        return order


def create_app(settings: ShopSettings) -> App:
    smtp = settings.smtp.url
    MonolithicOrders.mailer = open_mailer(smtp.get_secret_value() if smtp is not None else None, settings.mail.sender)
    faults = [MonolithicOrders, OffsetPaginatedProducts] if STEP < Step.INDEXES else [MonolithicOrders]
    return app.create_app(settings, replacements=faults)


shop = Project(name="shop", settings=ShopSettings, create_app=create_app)
