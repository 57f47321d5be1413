"""Table of pending invitations, one for each address. Only a hash of the code is stored."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

invitations = Table(
    "invitations",
    metadata,
    Column("email", Text, primary_key=True),  # canonical: restwell.email_addresses
    Column("id", Id, nullable=False),
    Column("role", Text, nullable=False),
    Column("code_hash", LargeBinary),  # null until the email is sent
    Column("invited_by", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Index("invitations_by_id", "id", unique=True),
    Index("invitations_by_code", "code_hash", unique=True),
    Index("invitations_by_inviter", "invited_by"),
    Index("invitations_by_expiry", "expires_at"),
)
