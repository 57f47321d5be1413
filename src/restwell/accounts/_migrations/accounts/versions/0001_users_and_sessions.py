"""Users, their sessions and refresh tokens (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, LargeBinary, Text

from restwell.database import Flag, Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        Column("id", Id, primary_key=True),
        Column("email", Text, nullable=False),
        Column("email_verified_at", Timestamp),
        Column("name", Text, nullable=False),
        Column("password_hash", Text),
        Column("role", Text, nullable=False),
        Column("active", Flag, nullable=False),
        Column("language", Text),
        Column("profile", Text),
        Column("created_at", Timestamp, nullable=False),
        Column("updated_at", Timestamp, nullable=False),
    )
    op.create_index("users_email", "users", ["email"], unique=True)
    op.create_table(
        "sessions",
        Column("id", Id, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
        Column("user_agent", Text, nullable=False),
        Column("ip_address", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("last_used_at", Timestamp, nullable=False),
        Column("expires_at", Timestamp, nullable=False),
        Column("revoked_at", Timestamp),
    )
    op.create_index("sessions_by_user", "sessions", ["user_id", "id"])
    op.create_table(
        "refresh_tokens",
        Column("token_hash", LargeBinary, primary_key=True),
        Column("session_id", Id, ForeignKey("sessions.id"), nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("used_at", Timestamp),
    )
    op.create_index("refresh_tokens_by_session", "refresh_tokens", ["session_id"])
