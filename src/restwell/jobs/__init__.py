"""Transactional jobs: enqueued in the caller's transaction, run by workers with leases, retries and fencing tokens."""

from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._job import Backoff, Job, job, mail_job
from restwell.jobs._operations import (
    ActionImpossible,
    BulkAction,
    CronStatus,
    JobCount,
    JobDetails,
    JobFilter,
    JobOperations,
    JobPage,
    QueueNotPausable,
    QueueStatus,
    UnknownQueue,
)
from restwell.jobs._queries import is_unfinished
from restwell.jobs._queue import JobNotDead, Jobs, JobUnfinished
from restwell.jobs._rows import BulkChange, FailedAttempt, JobPosition, JobRecord, QueueStats
from restwell.jobs._tables import JobState
from restwell.jobs._worker import Worker, WorkerOptions

__all__ = [
    "ActionImpossible",
    "Backoff",
    "BulkAction",
    "BulkChange",
    "CronStatus",
    "FailedAttempt",
    "Job",
    "JobContext",
    "JobCount",
    "JobDetails",
    "JobFilter",
    "JobNotDead",
    "JobOperations",
    "JobPage",
    "JobPosition",
    "JobRecord",
    "JobState",
    "JobUnfinished",
    "Jobs",
    "LeaseLost",
    "QueueNotPausable",
    "QueueStats",
    "QueueStatus",
    "UnknownQueue",
    "Worker",
    "WorkerOptions",
    "is_unfinished",
    "job",
    "mail_job",
]
