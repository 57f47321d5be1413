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
    """The jobs of a queue in one state.

    If ``at_least``, the state has too many jobs to count them all, and this queue has ``count`` or more. ``oldest`` is
    the earliest ``run_at`` of ready jobs; if there are thousands, of the next ones of each priority.
    """

    queue: str
    state: str
    count: int
    at_least: bool
    oldest: datetime | None


class QueueCount(Struct, frozen=True):
    queue: str
    state: str
    count: int


class QueueHead(Struct, frozen=True):
    """The next ready job of one priority of a queue; with the first of a queue, its number of jobs and their age."""

    queue: str
    run_at: datetime
    count: int | None
    oldest: datetime | None


class PausedQueue(Struct, frozen=True):
    queue: str
    paused_at: datetime


class JobPosition(Struct, frozen=True):
    """A position in a list of jobs."""

    finished_at: datetime | None
    id: UUID


class Examined(Struct, frozen=True):
    """How many of the ``examined`` jobs match a filter."""

    matching: int
    examined: int


class LastError(Struct, frozen=True):
    job_id: UUID
    error: str


class BulkChange(Struct, frozen=True):
    """A change of all jobs that match a filter, made by the job ``job_id``, and its progress.

    Of the ``examined`` jobs in ``state``, ``changed`` matched and were changed. ``job_state`` is the state of the job
    that makes the changes: they are complete when it is ``done``.
    """

    job_id: UUID
    action: str
    state: str
    queue: str | None
    name: str | None
    requested_at: datetime
    before_finished_at: datetime
    before_id: UUID
    examined: int
    changed: int
    job_state: str


class CronRun(Struct, frozen=True):
    """The newest scheduled time of a cron job that was enqueued, its job, and the state of that job.

    ``job_id`` is None before the first. ``state`` is None when the job has been deleted.
    """

    name: str
    scheduled_at: datetime
    job_id: UUID | None
    state: str | None
