"""Table of password resets. Only a hash of the code is stored."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

password_resets = Table(
    "password_resets",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp),
    Index("password_resets_by_user", "user_id"),
    Index("password_resets_by_expiry", "expires_at"),
)
