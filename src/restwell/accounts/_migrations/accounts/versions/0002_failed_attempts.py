"""Failed sign-in attempts (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, LargeBinary

from restwell.database import Timestamp

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "failed_attempts",
        Column("key_hash", LargeBinary, primary_key=True),
        Column("count", Integer, nullable=False),
        Column("last_failed_at", Timestamp, nullable=False),
    )
    op.create_index("failed_attempts_by_last_failed_at", "failed_attempts", ["last_failed_at"])
