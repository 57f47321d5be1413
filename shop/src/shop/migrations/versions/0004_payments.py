"""Payments (pre-deploy)."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, Text, text

from restwell.database import Id, Timestamp

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "payments",
        Column("user_id", Id, primary_key=True),
        Column("order_id", Id, primary_key=True),
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
    )
    op.create_index("payments_by_gateway_id", "payments", ["gateway_id"])
    reversing = text("state = 'reversing'")
    op.create_index(
        "payments_reversing", "payments", ["updated_at"], postgresql_where=reversing, sqlite_where=reversing
    )
    op.create_table(
        "payment_events", Column("id", Text, primary_key=True), Column("received_at", Timestamp, nullable=False)
    )
    op.create_index("payment_events_by_age", "payment_events", ["received_at"])
