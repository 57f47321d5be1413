"""Sales reports (pre-deploy)."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, Text

from restwell.database import Id, Timestamp

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "reports",
        Column("id", Id, primary_key=True),
        Column("requested_by", Id, ForeignKey("users.id"), nullable=False),
        Column("job_id", Id, nullable=False),
        Column("state", Text, nullable=False),
        Column("progress", Integer, nullable=False),
        Column("first_day", Text, nullable=False),
        Column("last_day", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        CheckConstraint("state IN ('pending', 'ready')", name="reports_state"),
    )
    op.create_index("reports_by_requester", "reports", ["requested_by"])
