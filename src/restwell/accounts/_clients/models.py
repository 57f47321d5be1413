"""Table of OAuth clients. Only a hash of the secret is stored."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

clients = Table(
    "clients",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),  # space-separated
    Column("created_by", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Index("clients_by_creator", "created_by"),
)
