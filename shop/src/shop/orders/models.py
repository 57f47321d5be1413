"""Tables of orders. ``user_id`` is part of every key, so that the tables can be partitioned by it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, Table, Text, text

from restwell.database import Id, Timestamp
from shop.schema import metadata


class OrderStatus(StrEnum):
    """``pending`` until the payment is settled. Pending and paid orders can be cancelled."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SoldLine(Struct, frozen=True):
    """An order line with columns of its order."""

    order_id: UUID
    created_at: datetime
    status: str
    currency: str
    name: str
    unit_price_cents: int
    quantity: int


orders = Table(
    "orders",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("id", Id, primary_key=True),
    Column(
        "status",
        Text,
        CheckConstraint("status IN ('pending', 'paid', 'failed', 'cancelled')", name="orders_status"),
        nullable=False,
    ),
    Column("total_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("cancelled_at", Timestamp),
    Index("orders_by_id", "id"),
    Index("orders_pending", "id", postgresql_where=text("status = 'pending'"), sqlite_where=text("status = 'pending'")),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("order_id", Id, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("product_id", Id, nullable=False),  # no foreign key: products can be deleted
    Column("name", Text, nullable=False),
    Column("unit_price_cents", BigInteger, nullable=False),
    Column("quantity", Integer, CheckConstraint("quantity > 0", name="order_lines_quantity"), nullable=False),
    ForeignKeyConstraint(["user_id", "order_id"], ["orders.user_id", "orders.id"]),
    Index("order_lines_by_order", "order_id"),
)
