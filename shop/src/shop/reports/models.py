"""Table of reports. Their content is stored in files."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text

from restwell.accounts import user_key
from restwell.database import Id, Timestamp
from shop.schema import metadata


class ReportState(StrEnum):
    """``failed`` is never stored: it is derived for a pending report whose job has ended."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class ReportFailure(StrEnum):
    PROCESSING_FAILED = "processing_failed"


reports = Table(
    "reports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("requested_by", Id, user_key(), nullable=False),
    Column("job_id", Id, nullable=False),
    Column("state", Text, CheckConstraint("state IN ('pending', 'ready')", name="reports_state"), nullable=False),
    Column("progress", Integer, nullable=False),  # in percent
    Column("first_day", Text, nullable=False),  # ISO 8601, in UTC
    Column("last_day", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("reports_by_requester", "requested_by"),
)
