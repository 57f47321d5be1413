"""Idempotency keys (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        Column("user_id", Id, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", Timestamp, nullable=False),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
