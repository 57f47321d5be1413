"""Jobs: work that is promised in a transaction and done after it, once, whatever dies meanwhile."""

from restwell.errors import GiveUp
from restwell.jobs.dispatch import Dispatch, open_dispatch
from restwell.jobs.figures import backlog_metrics
from restwell.jobs.job import Backoff, Job, job
from restwell.jobs.perform import Performer
from restwell.jobs.processes import ProcessDied, Processes
from restwell.jobs.queries import is_unfinished
from restwell.jobs.queue import JobNotDead, Jobs, JobUnfinished
from restwell.jobs.rows import Backlog, Claimed, Failure, Found
from restwell.jobs.run import LeaseLost, Run
from restwell.jobs.scheduler import Scheduler
from restwell.jobs.store import JobStore
from restwell.jobs.tables import JobState, job_tables
from restwell.jobs.worker import Worker, WorkerOptions

__all__ = [
    "Backlog",
    "Backoff",
    "Claimed",
    "Dispatch",
    "Failure",
    "Found",
    "GiveUp",
    "Job",
    "JobNotDead",
    "JobState",
    "JobStore",
    "JobUnfinished",
    "Jobs",
    "LeaseLost",
    "Performer",
    "ProcessDied",
    "Processes",
    "Run",
    "Scheduler",
    "Worker",
    "WorkerOptions",
    "backlog_metrics",
    "is_unfinished",
    "job",
    "job_tables",
    "open_dispatch",
]
