"""What queries of jobs give."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class ClaimedJob(Struct, frozen=True):
    """A job that a worker has taken. ``fencing_token`` is what tells this claim from every other of the job."""

    id: UUID
    name: str
    queue: str
    priority: int
    arguments: str
    attempts: int
    max_attempts: int
    fencing_token: int
    isolated: bool
    enqueued_at: datetime
    request_id: str | None
    traceparent: str | None


class ExpiredJob(Struct, frozen=True):
    """A job whose worker did not extend its lease, or that was parked for too long; ``state`` is where it is now."""

    id: UUID
    name: str
    queue: str
    state: str
    attempts: int
    fencing_token: int
    worker: str | None
    requires: str | None


class JobRecord(Struct, frozen=True):
    """A job as it is stored. ``arguments`` and ``result`` are JSON. ``requires`` is what no worker knew that took it."""

    id: UUID
    name: str
    queue: str
    priority: int
    state: str
    arguments: str
    unique_key: str | None
    attempts: int
    max_attempts: int
    worker: str | None
    run_at: datetime
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: str | None
    request_id: str | None
    requires: str | None


class FailedAttempt(Struct, frozen=True):
    """An attempt that failed."""

    attempt: int
    worker: str | None
    error: str
    traceback: str
    failed_at: datetime


class Ended(Struct, frozen=True):
    id: UUID
    state: str


class QueueStats(Struct, frozen=True):
    """Jobs of a queue in one state, and since when the oldest of them could have run."""

    queue: str
    state: str
    count: int
    oldest: datetime
