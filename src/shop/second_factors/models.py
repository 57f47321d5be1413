"""What is stored of a second factor: its secret, sealed, and hashes of the recovery codes."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata

second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("sealed_secret", Text, nullable=False),
    Column("last_step", BigInteger, nullable=False),  # of time, in which a code was used
    Column("confirmed_at", Timestamp),  # null until the app has shown that it knows the secret
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Index("recovery_codes_by_user", "user_id"),
)
