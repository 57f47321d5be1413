"""What the database keeps while Redis is away (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, Text

from restwell.database import Id, Timestamp

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "cache_outage",
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("since", Timestamp),
    )
    op.execute("INSERT INTO cache_outage (number, since) VALUES (1, NULL)")
    op.create_table(
        "cache_pending",
        Column("id", Id, primary_key=True),
        Column("tag", Text, nullable=False),
        Column("noted_at", Timestamp, nullable=False),
    )
