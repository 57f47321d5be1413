"""Jobs: their queues, lists with filters, single jobs, changes of many, and cron jobs."""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from restwell.fields import anchored
from restwell.jobs import BulkAction, BulkChange, JobFilter, JobOperations, JobRecord, Jobs, JobState
from restwell.jobs._operations import STATES
from restwell.ops._actions import Done, action
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.pages import Cursor, Cursors, PageFilter
from restwell.web import Controller, Request, Response

PATH: Final = f"{ROOT}/jobs"
PAGE_SIZE: Final = 50
SHOWN: Final = (JobState.SCHEDULED, JobState.READY, JobState.RUNNING, JobState.PARKED, JobState.DEAD)
KINDS: Final = {
    JobState.RUNNING: "info",
    JobState.PARKED: "warn",
    JobState.DONE: "ok",
    JobState.DEAD: "bad",
    JobState.CANCELLED: "warn",
}
"""The kinds of the badges of states."""

Text = Annotated[str, Meta(max_length=200, pattern=anchored(r"[^\x00-\x1f\x7f]*"))]


class ListQuery(Struct, frozen=True, kw_only=True):
    """The filters of a list. An empty field of the form is no filter."""

    state: JobState = JobState.DEAD
    queue: Text = ""
    name: Text = ""
    cursor: Cursor | None = None

    def wanted(self) -> JobFilter:
        return JobFilter(state=self.state, queue=self.queue or None, name=self.name or None)


class ChangeQuery(Struct, frozen=True, kw_only=True):
    """A change of all jobs that match, as a query for its confirmation, and as a form."""

    action: BulkAction
    state: JobState
    queue: Text = ""
    name: Text = ""

    def wanted(self) -> JobFilter:
        return JobFilter(state=self.state, queue=self.queue or None, name=self.name or None)


class JobsController(Controller):
    path = PATH

    @page(query_budget={"jobs.database_time": 2})
    async def jobs(self, request: Request, layout: Layout, operations: JobOperations) -> Response[bytes]:
        return layout.page(
            request,
            "jobs.html",
            queues=await operations.queues(),
            crons=await operations.cron_jobs(),
            changes=await operations.bulk_changes(),
            shown=SHOWN,
            kinds=KINDS,
        )

    @page("/list")
    async def list_jobs(
        self, request: Request, layout: Layout, filters: ListQuery, operations: JobOperations, cursors: Cursors
    ) -> Response[bytes]:
        wanted = filters.wanted()
        found = await operations.page(cursors, PageFilter(limit=PAGE_SIZE, cursor=filters.cursor), wanted)
        return layout.page(
            request,
            "job_list.html",
            jobs=found.items,
            errors=await operations.last_errors(found.items),
            next_cursor=found.next_cursor,
            filters=filters,
            states=list(JobState),
            actions=_actions(filters.state),
            kinds=KINDS,
        )

    @page("/job/{job_id}")
    async def show_job(
        self, job_id: UUID, request: Request, layout: Layout, operations: JobOperations
    ) -> Response[bytes]:
        details = await operations.details(job_id)
        return layout.page(
            request,
            "job.html",
            job=details.job,
            failures=details.failures,
            arguments=_indented(details.job.arguments),
            result=None if details.job.result is None else _indented(details.job.result),
            actions=_actions(details.job.state),
            change=await _bulk_change(operations, details.job),
            kinds=KINDS,
        )

    @page("/change")
    async def confirm_change(
        self, request: Request, layout: Layout, filters: ChangeQuery, operations: JobOperations
    ) -> Response[bytes]:
        """Asks before all jobs that match are changed."""
        counted = await operations.count(filters.wanted())
        return layout.page(request, "job_change.html", change=filters, counted=counted)

    @action("/change")
    async def change_jobs(self, form: ChangeQuery, operations: JobOperations) -> Done:
        job_id = await operations.change_all(form.action, form.wanted())
        return Done("A worker makes the change. This page shows its progress.", f"{PATH}/job/{job_id}")

    @action("/job/{job_id}/retry")
    async def retry_job(self, job_id: UUID, jobs: Jobs) -> Done:
        await jobs.retry(job_id)
        return Done("The job is ready, with all its attempts.", f"{PATH}/job/{job_id}")

    @action("/job/{job_id}/cancel")
    async def cancel_job(self, job_id: UUID, jobs: Jobs) -> Done:
        cancelled = await jobs.cancel(job_id)
        text = "The job is cancelled." if cancelled else "The job had finished before, so it was not cancelled."
        return Done(text, f"{PATH}/job/{job_id}")

    @action("/job/{job_id}/discard")
    async def discard_job(self, job_id: UUID, jobs: Jobs) -> Done:
        state = (await jobs.get(job_id)).state
        await jobs.discard(job_id)
        return Done("The job is deleted.", f"{PATH}/list?state={state}")

    @action("/queues/{queue}/pause")
    async def pause_queue(self, queue: str, operations: JobOperations) -> Done:
        await operations.pause(queue)
        return Done(f"The queue {queue} is paused: workers start none of its jobs.", PATH)

    @action("/queues/{queue}/resume")
    async def resume_queue(self, queue: str, operations: JobOperations) -> Done:
        await operations.resume(queue)
        return Done(f"The queue {queue} is resumed.", PATH)


def _actions(state: str) -> list[BulkAction]:
    return [action for action in BulkAction if state in STATES[action]]


def _indented(stored: str) -> str:
    return msgspec.json.format(stored, indent=2)


async def _bulk_change(operations: JobOperations, job: JobRecord) -> BulkChange | None:
    return await operations.bulk_change(job.id) if job.name == "restwell.change_jobs" else None


PAGE: Final = OpsPage("Jobs", JobsController)
