"""Table of linked identities. Provider tokens are never stored."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

identities = Table(
    "identities",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("email", Text),
    Column("created_at", Timestamp, nullable=False),
    Index("identities_by_user", "user_id", "provider", unique=True),
)
