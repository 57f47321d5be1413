"""Cache suspension while Redis is unavailable (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cache_suspension",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("suspended_at", Timestamp),
    )
    op.execute("INSERT INTO cache_suspension (id, suspended_at) VALUES (1, NULL)")
    op.create_table(
        "cache_pending_invalidations",
        Column("id", Id, primary_key=True),
        Column("tag", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
    )
