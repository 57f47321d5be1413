"""What operators see and do: lists, details, queues, cron jobs, and changes of many jobs. For the command and pages."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct

from restwell.database import Database
from restwell.errors import Conflict, NotFound
from restwell.jobs import _operation_queries as queries
from restwell.jobs._bulk_changes import OPERATIONS_QUEUE, BulkChanges
from restwell.jobs._queries import database_time
from restwell.jobs._queue import Jobs
from restwell.jobs._redaction import Redaction
from restwell.jobs._rows import BulkChange, FailedAttempt, JobPosition, JobRecord, QueueStats
from restwell.jobs._tables import FINISHED, UNFINISHED, JobState
from restwell.pages import Cursors, Page, PageFilter

BULK_CHANGES: Final = 20


class BulkAction(StrEnum):
    """What ``JobOperations.change_all`` does with jobs: dead or cancelled, unfinished, and finished ones."""

    RETRY = "retry"
    CANCEL = "cancel"
    DISCARD = "discard"


STATES: Final = {
    BulkAction.RETRY: (JobState.DEAD, JobState.CANCELLED),
    BulkAction.CANCEL: UNFINISHED,
    BulkAction.DISCARD: FINISHED,
}
"""The states of the jobs that an action changes."""


class UnknownQueue(NotFound):
    """A queue without jobs was to be paused or resumed: 404."""

    code, message = "unknown_queue", "No job uses this queue."


class QueueNotPausable(Conflict):
    """The queue of the operations themselves was to be paused: 409."""

    code, message = "queue_not_pausable", f"The queue {OPERATIONS_QUEUE} runs the changes of jobs. It is never paused."


class ActionImpossible(Conflict):
    """The jobs in this state cannot be changed so: 409."""

    code, message = "action_impossible", "Jobs in this state cannot be changed so."


class JobFilter(Struct, frozen=True, kw_only=True):
    """Jobs in a state, and if given, only of a queue and with a name."""

    state: JobState
    queue: str | None = None
    name: str | None = None


class JobPage(Struct, frozen=True):
    """Jobs, the newest first.

    ``next`` is the position of the next page, None on the last one. A page may have few jobs or none, and yet a next
    one: a request examines at most WINDOW jobs of the state.
    """

    items: list[JobRecord]
    next: JobPosition | None


class JobCount(Struct, frozen=True):
    """The number of jobs that match a filter. If ``at_least``, not all jobs of the state were examined."""

    count: int
    at_least: bool


class JobDetails(Struct, frozen=True):
    """A job and its failed attempts, the newest first and at most 100, without secrets."""

    job: JobRecord
    failures: list[FailedAttempt]


class QueueStatus(Struct, frozen=True):
    """A queue. ``counts`` has a QueueStats for each state with jobs; ``paused_at`` is None unless it is paused.

    ``oldest_ready_seconds`` is how long its oldest ready job has been waiting.
    """

    name: str
    paused_at: datetime | None
    counts: dict[str, QueueStats]
    oldest_ready_seconds: float | None


class CronStatus(Struct, frozen=True):
    """A cron job. ``last_at`` is the newest scheduled time that was enqueued, ``job_id`` and ``state`` are of its job.

    They are None before the first time; ``state`` also when the job has been deleted.
    """

    name: str
    expression: str
    timezone: str
    queue: str
    next_at: datetime
    last_at: datetime | None
    job_id: UUID | None
    state: str | None


class JobOperations:
    """A service of every application. It never reads all jobs of a state, so no cost grows with their number."""

    def __init__(self, database: Database, jobs: Jobs, bulk_changes: BulkChanges) -> None:
        self._database = database
        self._jobs = jobs
        self._bulk_changes = bulk_changes

    async def list_jobs(self, filters: JobFilter, count: int, before: JobPosition | None = None) -> JobPage:
        """Up to ``count`` jobs before the position: finished ones by ``finished_at``, others by age."""
        finished = filters.state in FINISHED
        position = queries.arguments_of(filters.state, before)
        listed = queries.finished if finished else queries.unfinished
        found = await self._database.primary.all(
            listed, queue=filters.queue, name=filters.name, count=count + 1, **position
        )
        if len(found) > count:
            return JobPage(found[:count], JobPosition(found[count - 1].finished_at, found[count - 1].id))
        last = await self._database.primary.find(
            queries.last_finished if finished else queries.last_unfinished, **position
        )
        return JobPage(found, last)

    async def page(self, cursors: Cursors, page: PageFilter, filters: JobFilter) -> Page[JobRecord]:
        """``list_jobs`` with signed cursors. Raises InvalidCursor."""
        scope = f"jobs {filters}"
        before = None
        if page.cursor is not None:
            before = JobPosition(*cursors.decode(scope, page.cursor, tuple[datetime | None, UUID]))
        listed = await self.list_jobs(filters, page.limit, before)
        following = None if listed.next is None else cursors.encode(scope, (listed.next.finished_at, listed.next.id))
        return Page(listed.items, following)

    async def count(self, filters: JobFilter) -> JobCount:
        """Count the jobs that match, among the WINDOW newest of the state."""
        counting = queries.count_finished if filters.state in FINISHED else queries.count_unfinished
        position = queries.arguments_of(filters.state, None)
        found = await self._database.primary.one(counting, queue=filters.queue, name=filters.name, **position)
        return JobCount(found.matching, found.examined >= queries.WINDOW)

    async def last_errors(self, listed: Sequence[JobRecord]) -> dict[UUID, str]:
        """The error of the last failed attempt of each job that has one, without secrets."""
        if not listed:
            return {}
        errors = await self._database.primary.all(queries.last_errors, job_ids=[each.id for each in listed])
        redactions = {each.id: self._redaction(each) for each in listed}
        return {each.job_id: redactions[each.job_id].text(each.error) for each in errors}

    async def details(self, job_id: UUID) -> JobDetails:
        """Raises NotFound."""
        redaction = self._redaction(await self._jobs.get(job_id))
        failures = await self._jobs.failures(job_id)
        return JobDetails(redaction.record, [redaction.failure(each) for each in failures])

    def _redaction(self, record: JobRecord) -> Redaction:
        job = self._jobs.registered.get(record.name)
        return Redaction(record, job.secret_arguments if job is not None else ())

    async def queues(self) -> list[QueueStatus]:
        """Every queue that a registered job uses, that has jobs, or that is paused, by name."""
        stats = await self._jobs.queue_stats()
        paused = await self._jobs.paused_queues()
        now = await self._database.primary.one(database_time)
        names = {*self._names(), *paused, *(each.queue for each in stats)}
        return [
            _status(name, paused.get(name), [each for each in stats if each.queue == name], now)
            for name in sorted(names)
        ]

    async def pause(self, queue: str) -> bool:
        """Stop workers from claiming jobs of the queue. Returns False if it is paused already.

        It applies to every worker from its next claim, and lasts until ``resume``. Running jobs finish, and jobs can
        be enqueued. Raises UnknownQueue, QueueNotPausable.
        """
        if queue == OPERATIONS_QUEUE:
            raise QueueNotPausable
        await self._check_known(queue)
        return bool(await self._database.run(queries.pause, queue=queue))

    async def resume(self, queue: str) -> bool:
        """Let workers claim jobs of the queue again. Returns False if it is not paused. Raises UnknownQueue."""
        await self._check_known(queue)
        resumed = bool(await self._database.run(queries.resume, queue=queue))
        self._jobs.notify([queue])
        return resumed

    async def cron_jobs(self) -> list[CronStatus]:
        """The registered cron jobs, by name."""
        runs = {each.name: each for each in await self._database.primary.all(queries.cron_jobs)}
        now = await self._database.primary.one(database_time)
        found = []
        for job in self._jobs.registered.values():
            if job.cron is not None:
                run = runs.get(job.name)
                has_run = run is not None and run.job_id is not None
                found.append(
                    CronStatus(
                        job.name,
                        job.cron.text,
                        job.cron.timezone,
                        job.queue,
                        job.cron.next_after(now),
                        run.scheduled_at if run is not None and has_run else None,
                        run.job_id if run is not None else None,
                        run.state if run is not None else None,
                    )
                )
        return sorted(found, key=lambda each: each.name)

    async def change_all(self, action: BulkAction, filters: JobFilter) -> UUID:
        """Change all jobs that match now, as a job in batches. Returns its id. Raises ActionImpossible.

        Jobs that leave the state before their turn are not changed, nor are jobs that enter it later.
        """
        if filters.state not in STATES[action]:
            states = ", ".join(STATES[action])
            raise ActionImpossible(f"{action} changes jobs that are {states}; these are {filters.state}.")
        return await self._bulk_changes.start(action, filters.state, filters.queue, filters.name)

    async def bulk_change(self, job_id: UUID) -> BulkChange:
        """The progress of ``change_all``. Raises NotFound."""
        return await self._bulk_changes.get(job_id)

    async def bulk_changes(self) -> list[BulkChange]:
        """The newest bulk changes, with their progress."""
        return await self._database.primary.all(queries.latest_bulk_changes, count=BULK_CHANGES)

    def _names(self) -> Iterable[str]:
        return (job.queue for job in self._jobs.registered.values())

    async def _check_known(self, queue: str) -> None:
        if queue not in self._names():
            known = [each.name for each in await self.queues()]
            if queue not in known:
                raise UnknownQueue(f"No job uses the queue {queue}. The queues are {', '.join(known)}.")


def _status(name: str, paused_at: datetime | None, stats: list[QueueStats], now: datetime) -> QueueStatus:
    oldest = next((each.oldest for each in stats if each.oldest is not None), None)
    age = None if oldest is None else max(0.0, (now.astimezone(UTC) - oldest).total_seconds())
    return QueueStatus(name, paused_at, {each.state: each for each in stats}, age)
