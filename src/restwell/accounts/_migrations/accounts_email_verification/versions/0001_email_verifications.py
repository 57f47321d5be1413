"""Email verification (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "email_verifications",
        Column("code_hash", LargeBinary, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
        Column("email", Text, nullable=False),
        Column("expires_at", Timestamp, nullable=False),
    )
    op.create_index("email_verifications_by_user", "email_verifications", ["user_id"])
    op.create_index("email_verifications_by_expiry", "email_verifications", ["expires_at"])
