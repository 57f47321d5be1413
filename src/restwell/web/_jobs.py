"""Routes for operators: list, read, retry, cancel and delete jobs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from restwell.fields import SingleLineText
from restwell.jobs import (
    JobDetails,
    JobFilter,
    JobNotDead,
    JobOperations,
    JobRecord,
    Jobs,
    JobState,
    JobUnfinished,
)
from restwell.pages import Cursors, Page, PageFilter
from restwell.web._declarations import Controller, delete, get, post

Moment = Annotated[datetime, Meta(tz=True)]


class JobListFilter(PageFilter, frozen=True, kw_only=True):
    state: Annotated[JobState, Meta(description="Only jobs in this state. A dead job has failed in every attempt.")] = (
        JobState.DEAD
    )
    queue: Annotated[SingleLineText, Meta(description="Only jobs of this queue.", examples=["mail"])] | None = None
    name: Annotated[SingleLineText, Meta(description="Only jobs with this name.", examples=["send_welcome"])] | None = (
        None
    )


class JobSummary(Struct, frozen=True):
    """A job in a list. ``attempts`` is the number of started attempts."""

    id: UUID
    name: Annotated[str, Meta(examples=["send_welcome"])]
    queue: Annotated[str, Meta(examples=["default"])]
    state: JobState
    attempts: Annotated[int, Meta(examples=[5])]
    max_attempts: Annotated[int, Meta(examples=[5])]
    run_at: Moment
    enqueued_at: Moment
    finished_at: Moment | None


class JobFailure(Struct, frozen=True):
    """A failed attempt of a job."""

    attempt: int
    error: str
    traceback: str
    failed_at: Moment


class JobDetail(Struct, frozen=True):
    """A job with its arguments, result and failures, in which secrets are redacted.

    ``request_id`` identifies the request that enqueued it. ``requires`` is set on a parked job: the job name or
    argument that the worker does not know.
    """

    id: UUID
    name: str
    queue: str
    priority: int
    state: JobState
    arguments: dict[str, Any]
    result: Any
    attempts: int
    max_attempts: int
    worker: str | None
    requires: str | None
    request_id: str | None
    run_at: Moment
    enqueued_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    failures: list[JobFailure]


class JobController(Controller):
    """The routes below ``/jobs``. Subclass it with ``guards``: it reveals what every job does."""

    path = "/jobs"
    tags = ["Jobs"]

    @get()
    async def list_jobs(self, filters: JobListFilter, jobs: JobOperations, cursors: Cursors) -> Page[JobSummary]:
        """List jobs by state, newest first.

        With a queue or a name, a page may have few jobs and yet a next one.
        """
        wanted = JobFilter(state=filters.state, queue=filters.queue, name=filters.name)
        page = await jobs.page(cursors, filters, wanted)
        return page.map(_summary)

    @get("/{job_id}")
    async def get_job(self, job_id: UUID, operations: JobOperations) -> JobDetail:
        """Get a job with the error of every failed attempt."""
        return _detail(await operations.details(job_id))

    @post("/{job_id}/retry", status_code=202, raises=[JobNotDead])
    async def retry_job(self, job_id: UUID, jobs: Jobs, operations: JobOperations) -> JobDetail:
        """Retry a dead or cancelled job with its full number of attempts."""
        await jobs.retry(job_id)
        return _detail(await operations.details(job_id))

    @post("/{job_id}/cancellation", status_code=200)
    async def cancel_job(self, job_id: UUID, jobs: Jobs, operations: JobOperations) -> JobDetail:
        """Cancel a job.

        A running job is stopped and its database effects are discarded. A finished job is unchanged.
        """
        await jobs.cancel(job_id)
        return _detail(await operations.details(job_id))

    @delete("/{job_id}", raises=[JobUnfinished])
    async def discard_job(self, job_id: UUID, jobs: Jobs) -> None:
        """Delete a finished job."""
        await jobs.discard(job_id)


def _summary(job: JobRecord) -> JobSummary:
    return JobSummary(
        job.id,
        job.name,
        job.queue,
        JobState(job.state),
        job.attempts,
        job.max_attempts,
        job.run_at,
        job.enqueued_at,
        job.finished_at,
    )


def _detail(details: JobDetails) -> JobDetail:
    job, arguments = details.job, msgspec.json.decode(details.job.arguments)
    return JobDetail(
        id=job.id,
        name=job.name,
        queue=job.queue,
        priority=job.priority,
        state=JobState(job.state),
        arguments=arguments if isinstance(arguments, dict) else {},
        result=msgspec.json.decode(job.result) if job.result is not None else None,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        worker=job.worker,
        requires=job.requires,
        request_id=job.request_id,
        run_at=job.run_at,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        failures=[JobFailure(each.attempt, each.error, each.traceback, each.failed_at) for each in details.failures],
    )
