from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from restwell.fields import Instant
from shop.orders.models import OrderStatus

MAX_LINES = 50
MAX_QUANTITY = 10_000


class OrderItemRequest(Struct, frozen=True, forbid_unknown_fields=True):
    product_id: UUID
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY, examples=[2])]


class OrderCreateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    items: Annotated[list[OrderItemRequest], Meta(min_length=1, max_length=MAX_LINES)]


class OrderItem(Struct, frozen=True):
    """An item with name and price at the time of the order."""

    product_id: UUID
    name: Annotated[str, Meta(examples=["Aurora Wireless Headphones"])]
    unit_price_cents: Annotated[int, Meta(examples=[12_900])]
    quantity: Annotated[int, Meta(examples=[2])]


class Order(Struct, frozen=True):
    id: UUID
    status: Annotated[OrderStatus, Meta(examples=["pending"])]
    items: list[OrderItem]
    total_cents: Annotated[int, Meta(examples=[25_800])]
    currency: Annotated[str, Meta(examples=["EUR"])]
    created_at: Instant
