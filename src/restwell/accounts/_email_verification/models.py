"""Table of pending email verifications. Only a hash of the code is stored."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

email_verifications = Table(
    "email_verifications",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("email", Text, nullable=False),  # canonical: restwell.email_addresses
    Column("expires_at", Timestamp, nullable=False),
    Index("email_verifications_by_user", "user_id"),
    Index("email_verifications_by_expiry", "expires_at"),
)
