"""Tables of sessions and refresh tokens. Only hashes of tokens are stored."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("ip_address", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("last_used_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Index("sessions_by_user", "user_id", "id"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Id, ForeignKey("sessions.id"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("used_at", Timestamp),
    Index("refresh_tokens_by_session", "session_id"),
)
