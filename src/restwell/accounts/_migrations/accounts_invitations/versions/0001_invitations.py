"""Invitations (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "invitations",
        Column("email", Text, primary_key=True),
        Column("id", Id, nullable=False),
        Column("role", Text, nullable=False),
        Column("code_hash", LargeBinary),
        Column("invited_by", Id, ForeignKey("users.id"), nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("expires_at", Timestamp, nullable=False),
    )
    op.create_index("invitations_by_id", "invitations", ["id"], unique=True)
    op.create_index("invitations_by_code", "invitations", ["code_hash"], unique=True)
    op.create_index("invitations_by_inviter", "invitations", ["invited_by"])
    op.create_index("invitations_by_expiry", "invitations", ["expires_at"])
