"""Result types of the job queries."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class ClaimedJob(Struct, frozen=True):
    """A job that a worker has claimed. ``fencing_token`` identifies this claim: it grows with each claim of the job."""

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
    """A job whose lease expired, or that was parked for too long. ``state`` is its new state."""

    id: UUID
    name: str
    queue: str
    state: str
    attempts: int
    fencing_token: int
    worker: str | None
    requires: str | None


class JobRecord(Struct, frozen=True):
    """A stored job.

    ``arguments`` and ``result`` are JSON. A parked job ``requires`` a signature that its workers did not know.
    """

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
    """One failed attempt of a job."""

    attempt: int
    worker: str | None
    error: str
    traceback: str
    failed_at: datetime


class FailedJob(Struct, frozen=True):
    id: UUID
    state: str


class QueueStats(Struct, frozen=True):
    """The jobs of a queue in one state. ``oldest`` is the earliest ``run_at``."""

    queue: str
    state: str
    count: int
    oldest: datetime
