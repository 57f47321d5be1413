"""Jobs (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer, Text, TextClause, text

from restwell.database import Flag, Id, Timestamp

revision = "0002"
down_revision = "0001"

_UNFINISHED = "state IN ('scheduled', 'ready', 'running', 'parked')"


def upgrade() -> None:
    op.create_table(
        "jobs",
        Column("id", Id, primary_key=True),
        Column("name", Text, nullable=False),
        Column("queue", Text, nullable=False),
        Column("priority", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("arguments", Text, nullable=False),
        Column("unique_key", Text),
        Column("attempts", Integer, nullable=False),
        Column("max_attempts", Integer, nullable=False),
        Column("fencing_token", Integer, nullable=False),
        Column("isolated", Flag, nullable=False),
        Column("worker", Text),
        Column("lease_until", Timestamp),
        Column("requires", Text),
        Column("run_at", Timestamp, nullable=False),
        Column("enqueued_at", Timestamp, nullable=False),
        Column("started_at", Timestamp),
        Column("finished_at", Timestamp),
        Column("result", Text),
        Column("request_id", Text),
        Column("traceparent", Text),
    )
    _index("jobs_ready", ["queue", text("priority DESC"), "id"], "state = 'ready'")
    _index("jobs_scheduled", ["run_at"], "state = 'scheduled'")
    _index("jobs_leases", ["lease_until"], "state IN ('running', 'parked')")
    _index("jobs_parked", ["requires", "run_at"], "state = 'parked'")
    _index("jobs_unfinished", ["state", "id", "queue", "name"], _UNFINISHED)
    _index("jobs_finished", ["state", "finished_at", "id"], "state IN ('done', 'dead', 'cancelled')")
    _index("jobs_unique", ["unique_key"], f"{_UNFINISHED} AND unique_key IS NOT NULL", unique=True)
    op.create_table(
        "job_failures",
        Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        Column("fencing_token", Integer, primary_key=True),
        Column("attempt", Integer, nullable=False),
        Column("worker", Text),
        Column("error", Text, nullable=False),
        Column("traceback", Text, nullable=False),
        Column("failed_at", Timestamp, nullable=False),
    )
    op.create_table(
        "cron_runs",
        Column("name", Text, primary_key=True),
        Column("scheduled_at", Timestamp, nullable=False),
        Column("job_id", Id),
    )
    op.create_table(
        "paused_queues",
        Column("queue", Text, primary_key=True),
        Column("paused_at", Timestamp, nullable=False),
    )
    op.create_table(
        "job_bulk_changes",
        Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        Column("action", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("queue", Text),
        Column("name", Text),
        Column("requested_at", Timestamp, nullable=False),
        Column("before_finished_at", Timestamp, nullable=False),
        Column("before_id", Id, nullable=False),
        Column("examined", Integer, nullable=False),
        Column("changed", Integer, nullable=False),
    )


def _index(name: str, columns: list[str | TextClause], where: str, *, unique: bool = False) -> None:
    condition = text(where)
    op.create_index(name, "jobs", columns, unique=unique, postgresql_where=condition, sqlite_where=condition)
