"""Linked identities (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "identities",
        Column("provider", Text, primary_key=True),
        Column("subject", Text, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
        Column("email", Text),
        Column("created_at", Timestamp, nullable=False),
    )
    op.create_index("identities_by_user", "identities", ["user_id", "provider"], unique=True)
