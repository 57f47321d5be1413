"""Transactional jobs: enqueued in the caller's transaction, run by workers with leases, retries and fencing tokens."""

from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._job import Backoff, Job, job, mail_job
from restwell.jobs._queries import is_unfinished
from restwell.jobs._queue import JobNotDead, Jobs, JobUnfinished
from restwell.jobs._rows import FailedAttempt, JobRecord, QueueStats
from restwell.jobs._tables import JobState
from restwell.jobs._worker import Worker, WorkerOptions

__all__ = [
    "Backoff",
    "FailedAttempt",
    "Job",
    "JobContext",
    "JobNotDead",
    "JobRecord",
    "JobState",
    "JobUnfinished",
    "Jobs",
    "LeaseLost",
    "QueueStats",
    "Worker",
    "WorkerOptions",
    "is_unfinished",
    "job",
    "mail_job",
]
