"""Table of failed attempts. Only a hash of account and network is stored."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table

from restwell.accounts._metadata import metadata
from restwell.database import Timestamp

failed_attempts = Table(
    "failed_attempts",
    metadata,
    Column("key_hash", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_failed_at", Timestamp, nullable=False),
    Index("failed_attempts_by_last_failed_at", "last_failed_at"),
)
