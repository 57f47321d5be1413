"""The outbox of events, and the positions of their consumers (pre-deploy)."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

from restwell.database import Timestamp

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "outbox_events",
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("position", BigInteger, primary_key=True),
        Column("key", Text, nullable=False),
        Column("payload", Text, nullable=False),
        Column("appended_at", Timestamp, nullable=False),
        Column("expires_at", Timestamp, nullable=False),
    )
    op.create_index("outbox_events_expired", "outbox_events", ["expires_at"])
    op.create_table(
        "outbox_partitions",
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("position", BigInteger, nullable=False),
    )
    op.create_table(
        "inbox_positions",
        Column("consumer", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("position", BigInteger, nullable=False),
    )
