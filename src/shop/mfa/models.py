"""What is stored of a second factor: its secret, sealed, and hashes of the recovery codes."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata

mfa_enrolments = Table(
    "mfa_enrolments",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("encrypted_secret", Text, nullable=False),
    Column("last_timestep", BigInteger, nullable=False),  # of time, in which a code was used
    Column("confirmed_at", Timestamp),  # null until the app has shown that it knows the secret
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Index("recovery_codes_by_user", "user_id"),
)
