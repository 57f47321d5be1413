"""The tables of jobs, failed attempts, paused queues, bulk changes and cron runs."""

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, and_, column

from restwell._metadata import metadata
from restwell.database import Flag, Id, Timestamp


class JobState(StrEnum):
    """``done``, ``dead`` and ``cancelled`` are final. ``parked`` jobs wait for a release that knows them."""

    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    PARKED = "parked"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


UNFINISHED: Final = (JobState.SCHEDULED, JobState.READY, JobState.RUNNING, JobState.PARKED)
FINISHED: Final = (JobState.DONE, JobState.DEAD, JobState.CANCELLED)


def _where(condition: object) -> Any:
    return {"postgresql_where": condition, "sqlite_where": condition}


# Each index is partial: it contains only the rows of one group of states, so finished jobs do not slow down claims.
_state: Final = column("state", Text)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),  # higher runs first
    Column("state", Text, nullable=False),
    Column("arguments", Text, nullable=False),  # a JSON object
    Column("unique_key", Text),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    # Incremented by each claim; updates with an older one are rejected.
    Column("fencing_token", Integer, nullable=False),
    Column("isolated", Flag, nullable=False),  # a worker died with it: it runs in a separate process
    Column("worker", Text),
    Column("lease_until", Timestamp),  # of a parked job, when it becomes dead
    # The signature that a parked job requires: "send_mail", or "send_mail(language)".
    Column("requires", Text),
    Column("run_at", Timestamp, nullable=False),
    Column("enqueued_at", Timestamp, nullable=False),
    Column("started_at", Timestamp),
    Column("finished_at", Timestamp),
    Column("result", Text),  # JSON
    Column("request_id", Text),
    Column("traceparent", Text),
    Index("jobs_ready", "queue", column("priority").desc(), "id", **_where(_state == JobState.READY)),
    Index("jobs_scheduled", "run_at", **_where(_state == JobState.SCHEDULED)),
    Index("jobs_leases", "lease_until", **_where(_state.in_((JobState.RUNNING, JobState.PARKED)))),
    Index("jobs_parked", "requires", "run_at", **_where(_state == JobState.PARKED)),
    # It lists and counts jobs by state, queue and name without reading their rows.
    Index("jobs_unfinished", "state", "id", "queue", "name", **_where(_state.in_(UNFINISHED))),
    Index("jobs_finished", "state", "finished_at", "id", **_where(_state.in_(FINISHED))),
    Index(
        "jobs_unique",
        "unique_key",
        unique=True,
        **_where(and_(_state.in_(UNFINISHED), column("unique_key", Text).is_not(None))),
    ),
)
failures: Final = Table(
    "job_failures",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("fencing_token", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("failed_at", Timestamp, nullable=False),
)
cron_runs: Final = Table(
    "cron_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("scheduled_at", Timestamp, nullable=False),  # the newest that was enqueued
    Column("job_id", Id),  # the job of that time; none before the first
)
paused_queues: Final = Table(
    "paused_queues",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("paused_at", Timestamp, nullable=False),
)
bulk_changes: Final = Table(
    "job_bulk_changes",
    metadata,
    # The job that makes the changes.
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("queue", Text),
    Column("name", Text),
    Column("requested_at", Timestamp, nullable=False),
    # The position: the next batch has the jobs before it, the newest first.
    Column("before_finished_at", Timestamp, nullable=False),
    Column("before_id", Id, nullable=False),
    Column("examined", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
)
