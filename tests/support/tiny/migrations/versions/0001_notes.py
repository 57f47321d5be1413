"""Notes (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("notes", Column("id", Integer, primary_key=True), Column("text", Text, nullable=False))
