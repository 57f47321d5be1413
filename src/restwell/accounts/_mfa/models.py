"""Tables of TOTP enrolments and recovery codes. The secret is encrypted; codes are hashed."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp

mfa_enrolments = Table(
    "mfa_enrolments",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("encrypted_secret", Text, nullable=False),
    Column("last_timestep", BigInteger, nullable=False),  # of the last accepted code; prevents replay
    Column("confirmed_at", Timestamp),  # null until the user has entered a valid code
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Index("recovery_codes_by_user", "user_id"),
)
