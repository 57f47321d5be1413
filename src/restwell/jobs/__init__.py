"""Transactional jobs: enqueued in the caller's transaction, run by workers with leases, retries and fencing tokens."""

from restwell.errors import PermanentFailure
from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._executor import JobExecutor
from restwell.jobs._job import Backoff, Job, job
from restwell.jobs._metrics import queue_metrics
from restwell.jobs._notifier import Notifier, open_notifier
from restwell.jobs._processes import ProcessDied, Processes
from restwell.jobs._queries import is_unfinished
from restwell.jobs._queue import JobNotDead, Jobs, JobUnfinished
from restwell.jobs._rows import ClaimedJob, FailedAttempt, JobRecord, QueueStats
from restwell.jobs._scheduler import Scheduler
from restwell.jobs._store import JobStore
from restwell.jobs._tables import JobState, job_tables
from restwell.jobs._worker import Worker, WorkerOptions

__all__ = [
    "Backoff",
    "ClaimedJob",
    "FailedAttempt",
    "Job",
    "JobContext",
    "JobExecutor",
    "JobNotDead",
    "JobRecord",
    "JobState",
    "JobStore",
    "JobUnfinished",
    "Jobs",
    "LeaseLost",
    "Notifier",
    "PermanentFailure",
    "ProcessDied",
    "Processes",
    "QueueStats",
    "Scheduler",
    "Worker",
    "WorkerOptions",
    "is_unfinished",
    "job",
    "job_tables",
    "open_notifier",
    "queue_metrics",
]
