"""Payments and order states (pre-deploy). The previous release cannot read orders with status paid or failed."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, Text, text

from restwell.database import Id, Timestamp

revision = "0004"
down_revision = "0003"

_PENDING = text("status = 'pending'")


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        # A CHECK does not affect stored rows, so its text may be edited:
        # https://sqlite.org/lang_altertable.html#otheralter
        op.execute("PRAGMA writable_schema = ON")
        op.execute(
            "UPDATE sqlite_schema SET sql = replace("
            "sql, '''pending'', ''cancelled''', '''pending'', ''paid'', ''failed'', ''cancelled''')"
            " WHERE name = 'orders'"
        )
        op.execute("PRAGMA writable_schema = RESET")
        op.create_index("orders_pending", "orders", ["id"], sqlite_where=_PENDING)
    else:
        op.execute("-- squawk-ignore ban-drop-constraint\nALTER TABLE orders DROP CONSTRAINT orders_status")
        op.execute(
            "ALTER TABLE orders ADD CONSTRAINT orders_status"
            " CHECK (status IN ('pending', 'paid', 'failed', 'cancelled')) NOT VALID"
        )
        with op.get_context().autocommit_block():
            op.execute("ALTER TABLE orders VALIDATE CONSTRAINT orders_status")
            op.drop_index("orders_pending", if_exists=True, postgresql_concurrently=True)
            op.create_index("orders_pending", "orders", ["id"], postgresql_where=_PENDING, postgresql_concurrently=True)
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
