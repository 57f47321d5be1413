"""Changes of all jobs that match a filter: a job that works in batches and stores its position with each batch."""

from typing import Any, Final
from uuid import UUID

from restwell.database import Database, Transaction
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import _operation_queries as queries
from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._job import job
from restwell.jobs._queue import Jobs
from restwell.jobs._rows import BulkChange, JobPosition
from restwell.jobs._tables import FINISHED, JobState

OPERATIONS_QUEUE: Final = "restwell"
"""The queue of bulk changes. Every worker serves it, and it cannot be paused."""


class BulkChanges:
    """A service of every application, which its job needs."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def start(self, action: str, state: JobState, queue: str | None, name: str | None) -> UUID:
        """Enqueue the change of the jobs that match now. Returns the id of its job."""
        async with self._database.transaction() as tx:
            job_id = await self._jobs.enqueue(tx, change_jobs)
            await tx.flush()  # the foreign key needs the job
            await tx.run(
                queries.insert_bulk_change,
                job_id=job_id,
                action=action,
                state=state,
                queue=queue,
                name=name,
                before_id=new_id(),
            )
        return job_id

    async def get(self, job_id: UUID) -> BulkChange:
        """Raises NotFound."""
        found = await self._database.primary.find(queries.find_bulk_change, job_id=job_id)
        if found is None:
            raise NotFound
        return found

    async def run(self, job_id: UUID) -> None:
        """Change the jobs, and continue after what an earlier attempt has changed."""
        while await self._run_batch(await self.get(job_id)):
            pass

    async def _run_batch(self, change: BulkChange) -> bool:
        """Change a batch and store the position, in one transaction. Returns False at the end."""

        async def work(tx: Transaction) -> tuple[int, list[str]]:
            finished = change.state in FINISHED
            batch = await tx.all(
                queries.finished_batch if finished else queries.unfinished_batch,
                queue=change.queue,
                name=change.name,
                **queries.arguments_of(change.state, JobPosition(change.before_finished_at, change.before_id)),
            )
            if not batch:
                return 0, []
            matching = [each for each in batch if each["matches"] and each["id"] != change.job_id]
            changed, queues = await _change(tx, change, matching)
            last = batch[-1]
            advanced = await tx.run(
                queries.advance_bulk_change,
                match_job_id=change.job_id,
                match_before_id=change.before_id,
                finished_at=last["finished_at"],
                id=last["id"],
                more_examined=len(batch),
                more_changed=changed,
            )
            if not advanced:  # another attempt has changed this batch
                raise LeaseLost
            return len(batch), queues

        examined, queues = await self._database.in_transaction(work)
        self._jobs.notify(queues)
        return examined > 0


async def _change(tx: Transaction, change: BulkChange, matching: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Returns how many jobs were changed, and the queues of those that are ready now."""
    if not matching:
        return 0, []
    if change.action == "retry":
        ids = _one_of_each_key(matching)
        queues = await tx.all(queries.retry_many, ids=ids, match_state=change.state)
        return len(queues), queues
    many = queries.cancel_many if change.action == "cancel" else queries.discard_many
    return await tx.run(many, ids=[each["id"] for each in matching], match_state=change.state), []


def _one_of_each_key(jobs: list[dict[str, Any]]) -> list[UUID]:
    """The ids, of jobs with the same unique key only the newest: one of them can be unfinished."""
    keys: set[str] = set()
    ids = []
    for each in jobs:
        key = each["unique_key"]
        if key not in keys:
            ids.append(each["id"])
        if key is not None:
            keys.add(key)
    return ids


@job(name="restwell.change_jobs", queue=OPERATIONS_QUEUE, max_attempts=20, timeout_seconds=3_600)
async def change_jobs(context: JobContext) -> None:
    """Retry, cancel or discard the jobs of a bulk change."""
    await context.get(BulkChanges).run(context.job_id)
