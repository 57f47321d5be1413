"""TOTP enrolments and recovery codes (pre-deploy)."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Text

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "mfa_enrolments",
        Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
        Column("encrypted_secret", Text, nullable=False),
        Column("last_timestep", BigInteger, nullable=False),
        Column("confirmed_at", Timestamp),
    )
    op.create_table(
        "recovery_codes",
        Column("code_hash", LargeBinary, primary_key=True),
        Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    )
    op.create_index("recovery_codes_by_user", "recovery_codes", ["user_id"])
