"""The shop as it might have begun, with the faults that the guide's case study names, each mended from one ``STEP`` on.

It is the shop itself but for two services, and does what it does: the same routes, the same answers.
"""

import os
from enum import IntEnum
from typing import Any
from unittest.mock import patch

from sqlalchemy import func, select

from restwell import App, Project
from restwell.auth import Actor
from restwell.database import Transaction, param, query
from restwell.mail import Mailer, open_mailer
from restwell.web import Page, PageFilter
from shop import app
from shop.email_templates import format_money, render_email
from shop.orders import queries as order_queries
from shop.orders.schemas import Order, OrderCreateRequest
from shop.orders.service import OrderService
from shop.products import queries
from shop.products.models import products
from shop.products.schemas import Product, ProductFilter
from shop.products.service import ProductService
from shop.settings import ShopSettings


class Step(IntEnum):
    """What has been mended so far. The database has its indexes, the settings the cache and the workers, or not: ``run.py`` sees to that."""

    BEFORE = 0
    INDEXES = 1
    JOINS = 2
    CACHE = 3
    JOBS = 4
    WORKERS = 5


STEP = Step(int(os.environ.get("STEP", "0")))

_of_category = products.c.category == param("category")
_numbered = (
    select(*(products.c[name] for name in Product.__struct_fields__))
    .order_by(products.c.created_at.desc(), products.c.id.desc())
    .limit(param("count"))
    .offset(param("skipped"))
)
_total = select(func.count().label("total")).select_from(products)
all_numbered = query("before.products", _numbered, into=Product)
numbered = query("before.products_of_category", _numbered.where(_of_category), into=Product)
all_counted = query("before.count", _total, into=int)
counted = query("before.count_of_category", _total.where(_of_category), into=int)


class NumberedProducts(ProductService):
    """Pages have numbers: each is found by skipping those before it, and all are counted to know whether there is another."""

    async def list_products(self, filters: ProductFilter) -> Page[Any]:
        scope = f"numbered {filters.category}"
        (number,) = self._cursors.decode(scope, filters.cursor, tuple[int]) if filters.cursor else (0,)
        narrow: dict[str, Any] = {} if filters.category is None else {"category": filters.category}
        page, count = (numbered, counted) if narrow else (all_numbered, all_counted)
        skipped = number * filters.limit
        found = await self._database.all(page, **narrow, count=filters.limit, skipped=skipped)
        more = skipped + filters.limit < await self._database.one(count, **narrow)
        return Page(list(found), self._cursors.encode(scope, (number + 1,)) if more else None)


class MonolithicOrders(OrderService):
    """Reads the lines of each order and the product of each line one by one, and writes the mail before it answers."""

    mailer: Mailer

    async def list_orders(self, actor: Actor, filters: PageFilter) -> Page[Order]:
        page = await super().list_orders(actor, filters)
        if STEP >= Step.JOINS:
            return page
        for order in page.items:
            for line in await self._database.all(order_queries.lines_of, order_ids=[order.id]):
                await self._database.find(queries.by_id, id=line.product_id)
        return page

    async def place(self, tx: Transaction, actor: Actor, draft: OrderCreateRequest) -> Order:
        order = await super().place(tx, actor, draft)
        if STEP < Step.JOBS:
            buyer = await tx.one(order_queries.buyer, id=actor.id)
            lines = [
                (f"{line.quantity} x", line.name, format_money(line.unit_price_cents, order.currency))
                for line in order.items
            ]
            subject = f"Your order of {order.created_at:%d %B %Y}"
            thanks = ["Thank you for your order. This is what we have noted:"]
            mail = render_email(to=buyer.email, subject=subject, paragraphs=thanks, table=lines, key=str(order.id))
            await self.mailer.send(mail)
        return order


def create_app(settings: ShopSettings) -> App:
    smtp = settings.smtp.url
    MonolithicOrders.mailer = open_mailer(smtp.get_secret_value() if smtp is not None else None, settings.mail.sender)
    faults: dict[str, Any] = {"OrderService": MonolithicOrders}
    if STEP < Step.INDEXES:
        faults["ProductService"] = NumberedProducts
    with patch.multiple(app, **faults):
        return app.create_app(settings)


shop = Project(name="shop", settings=ShopSettings, create_app=create_app, migrations=app.MIGRATIONS)
