"""Tables of payments and received webhook events."""

from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from sqlalchemy import CheckConstraint, Column, Index, Table, Text, text

from restwell.database import Id, Timestamp
from shop.schema import metadata


class OrderKey(Struct, frozen=True):
    """The primary key of an order and of its payment."""

    user_id: UUID
    order_id: UUID


class PaymentState(StrEnum):
    """``prepared`` and ``reversing`` are in progress; the other states are final."""

    PREPARED = "prepared"
    PAID = "paid"
    DECLINED = "declined"
    REVERSING = "reversing"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


payments = Table(
    "payments",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column(
        "order_id", Id, primary_key=True
    ),  # no foreign key: orders can be partitioned over several servers, and are never deleted
    Column("gateway_id", Text, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint(
            "state IN ('prepared', 'paid', 'declined', 'reversing', 'cancelled', 'refunded')", name="payments_state"
        ),
        nullable=False,
    ),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("payments_by_gateway_id", "gateway_id"),
    Index(
        "payments_reversing",
        "updated_at",
        postgresql_where=text("state = 'reversing'"),
        sqlite_where=text("state = 'reversing'"),
    ),
)

payment_events = Table(
    "payment_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("received_at", Timestamp, nullable=False),
    Index("payment_events_by_age", "received_at"),
)
