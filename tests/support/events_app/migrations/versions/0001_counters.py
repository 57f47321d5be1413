"""What is counted, and what consumers have applied (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("counters", Column("key", Text, primary_key=True), Column("number", Integer, nullable=False))
    op.create_table(
        "applied",
        Column("id", Integer, primary_key=True),
        Column("consumer", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("number", Integer, nullable=False),
    )
