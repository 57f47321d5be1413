"""Orders of version 2: their items have an id, and amounts have a currency."""

from typing import Annotated, Final
from uuid import UUID, uuid5

from msgspec import Meta, Struct

from restwell.fields import Instant
from shop.orders import schemas as v1
from shop.orders.models import OrderStatus
from shop.schema import Money


class OrderItem(Struct, frozen=True):
    """An item with name and price at the time of the order."""

    id: UUID
    product_id: UUID
    name: Annotated[str, Meta(examples=["Aurora Wireless Headphones"])]
    unit_price: Money
    quantity: Annotated[int, Meta(examples=[2])]


class Order(Struct, frozen=True):
    id: UUID
    status: Annotated[OrderStatus, Meta(examples=["pending"])]
    items: list[OrderItem]
    total: Money
    created_at: Instant


def show_order(order: v1.Order) -> Order:
    """The id of an item follows from its order and its position, which never change."""
    items = [
        OrderItem(uuid5(order.id, str(position)), item.product_id, item.name, price, item.quantity)
        for position, item in enumerate(order.items)
        for price in (Money(item.unit_price_cents, order.currency),)
    ]
    return Order(order.id, order.status, items, Money(order.total_cents, order.currency), order.created_at)


RESPONSES: Final = (show_order,)
