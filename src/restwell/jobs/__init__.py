"""Transactional jobs: enqueued in the caller's transaction, run by workers with leases, retries and fencing tokens."""

from restwell.errors import PermanentFailure
from restwell.jobs.context import JobContext, LeaseLost
from restwell.jobs.executor import JobExecutor
from restwell.jobs.job import Backoff, Job, job
from restwell.jobs.metrics import queue_metrics
from restwell.jobs.notifier import Notifier, open_notifier
from restwell.jobs.processes import ProcessDied, Processes
from restwell.jobs.queries import is_unfinished
from restwell.jobs.queue import JobNotDead, Jobs, JobUnfinished
from restwell.jobs.rows import ClaimedJob, FailedAttempt, JobRecord, QueueStats
from restwell.jobs.scheduler import Scheduler
from restwell.jobs.store import JobStore
from restwell.jobs.tables import JobState, job_tables
from restwell.jobs.worker import Worker, WorkerOptions

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
