"""Password resets (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "password_resets",
        Column("code_hash", LargeBinary, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
        Column("expires_at", Timestamp, nullable=False),
        Column("used_at", Timestamp),
    )
    op.create_index("password_resets_by_user", "password_resets", ["user_id"])
    op.create_index("password_resets_by_expiry", "password_resets", ["expires_at"])
