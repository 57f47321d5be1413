"""Table of API keys. Only a hash of the key is stored, and its first characters."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("start", Text, nullable=False),  # the first characters of the key
    Column("key_hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),  # space-separated
    Column("created_at", Timestamp, nullable=False),
    Column("last_used_at", Timestamp),
    Column("expires_at", Timestamp),  # null: until it is revoked
    Index("api_keys_by_hash", "key_hash", unique=True),
    Index("api_keys_by_user", "user_id", "id"),
    Index("api_keys_by_expiry", "expires_at"),
)
