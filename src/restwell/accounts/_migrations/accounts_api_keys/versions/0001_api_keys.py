"""API keys (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        Column("id", Id, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
        Column("name", Text, nullable=False),
        Column("start", Text, nullable=False),
        Column("key_hash", LargeBinary, nullable=False),
        Column("scopes", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("last_used_at", Timestamp),
        Column("expires_at", Timestamp),
    )
    op.create_index("api_keys_by_hash", "api_keys", ["key_hash"], unique=True)
    op.create_index("api_keys_by_user", "api_keys", ["user_id", "id"])
    op.create_index("api_keys_by_expiry", "api_keys", ["expires_at"])
