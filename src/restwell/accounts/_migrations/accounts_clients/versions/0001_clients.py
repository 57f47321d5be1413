"""OAuth clients (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "clients",
        Column("id", Id, primary_key=True),
        Column("name", Text, nullable=False),
        Column("secret_hash", LargeBinary, nullable=False),
        Column("scopes", Text, nullable=False),
        Column("created_by", Id, ForeignKey("users.id"), nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("revoked_at", Timestamp),
    )
    op.create_index("clients_by_creator", "clients", ["created_by"])
