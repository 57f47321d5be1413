"""Enqueue, inspect, retry, cancel and discard jobs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

from restwell._batcher import Batcher
from restwell.database import Database, Executor, Transaction, TransactionConflict, UniqueViolation
from restwell.database._transaction import TransactionHook, hook_of
from restwell.errors import Conflict, NotFound
from restwell.ids import new_id
from restwell.jobs import _operation_queries as queries
from restwell.jobs._job import Job
from restwell.jobs._metrics import JobCollector
from restwell.jobs._notifier import Notifier
from restwell.jobs._queries import find_by_unique_key, insert_job, insert_unique
from restwell.jobs._rows import FailedAttempt, JobRecord, QueueStats
from restwell.jobs._tables import FINISHED, JobState
from restwell.observability._trace import current_request_id, span, traceparent

P = ParamSpec("P")
R = TypeVar("R")

UNIQUE_KEY_ATTEMPTS: Final = 3
MAX_INSERTS: Final = 500
"""Most jobs that concurrent callers insert in one statement."""


class JobUnfinished(Conflict):
    """A discard was requested for a job that has not finished: 409."""

    code, message = "job_unfinished", "The job has not finished. Cancel it first."


class JobNotDead(Conflict):
    """A retry was requested for a job that is neither dead nor cancelled: 409."""

    code, message = "job_not_dead", "Only a dead or cancelled job can be retried."


class Jobs:
    """The job queue. Only registered jobs can be enqueued."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self.notifier = notifier
        self._batch: Batcher[dict[str, Any], None] = Batcher(self._insert, max_items=MAX_INSERTS)
        self.registered: dict[str, Job[..., Any]] = {}
        self.metrics = JobCollector()

    def register(self, jobs: Iterable[Job[..., Any]]) -> None:
        """Raises TypeError for two jobs with the same name."""
        for one in jobs:
            if self.registered.setdefault(one.name, one) is not one:
                raise TypeError(f"two jobs are named {one.name}; rename one with @job(name=...)")

    async def close(self) -> None:
        await self.notifier.close()

    async def enqueue(self, executor: Executor, job: Job[P, R], *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Enqueue a job and return its id. It runs if and only if the transaction commits.

        If ``executor`` is a database without an ambient transaction, the job is committed immediately, in a batch with
        concurrent calls. If an
        unfinished job has the same unique key, returns the id of that job and inserts nothing. Raises TypeError for
        arguments that do not match the function, and for a job that is not registered.
        """
        with span(f"enqueue {job.name}", "enqueue") as enqueued:
            row = self._row(job, args, kwargs)
            enqueued.attributes.update(queue=job.queue, job_id=row["id"])
            return await self._enqueue(executor, job, row)

    async def _enqueue(self, executor: Executor, job: Job[P, R], row: dict[str, Any]) -> UUID:
        job_id: UUID = row["id"]
        tx = executor if isinstance(executor, Transaction) else self._database.current_transaction
        if tx is None:
            if job.unique_key is not None:
                return await self._database.in_transaction(lambda tx: self._enqueue_once(tx, row))
            await self._batch.add(row)
            self.notify([job.queue] if row["state"] == JobState.READY else [])
            return job_id
        if job.unique_key is not None:
            return await self._enqueue_once(tx, row)
        tx.defer(insert_job, **row)
        self._notify_after_commit(tx, row)
        return job_id

    async def _insert(self, rows: list[dict[str, Any]]) -> list[None]:
        await self._database.run_many(insert_job, rows)
        return [None] * len(rows)

    async def _enqueue_once(self, tx: Transaction, row: dict[str, Any]) -> UUID:
        """Insert the job, or find the unfinished one with its key. Returns the id."""
        for _ in range(UNIQUE_KEY_ATTEMPTS):
            job_id = await tx.find(insert_unique, **row)
            if job_id is not None:
                self._notify_after_commit(tx, row)
                return job_id
            unfinished = await tx.find(find_by_unique_key, unique_key=row["unique_key"])
            if unfinished is not None:  # otherwise it has just finished
                return unfinished
        raise TransactionConflict

    async def enqueue_many(self, tx: Transaction, job: Job[P, R], arguments: Sequence[Mapping[str, Any]]) -> list[UUID]:
        """Enqueue a job for each mapping of arguments, in one round trip. Returns the ids.

        Raises TypeError for a job with a unique key.
        """
        if job.unique_key is not None:
            raise TypeError(f"job {job.name}: enqueue_many does not support a unique key")
        with span(f"enqueue {job.name}", "enqueue", {"queue": job.queue, "count": len(arguments)}):
            rows = [self._row(job, (), dict(each)) for each in arguments]
            await tx.run_many(insert_job, rows)
        for row in rows:
            self._notify_after_commit(tx, row)
        return [row["id"] for row in rows]

    async def get(self, job_id: UUID) -> JobRecord:
        """Raises NotFound."""
        found = await self._database.primary.find(queries.find, id=job_id)
        if found is None:
            raise NotFound
        return found

    async def failures(self, job_id: UUID) -> list[FailedAttempt]:
        """The failed attempts, newest first, at most 100."""
        return await self._database.primary.all(queries.failures_of, job_id=job_id)

    async def list_jobs(self, state: JobState, count: int = 20) -> list[JobRecord]:
        """The newest jobs in a state. ``JobOperations.list_jobs`` has filters and pages."""
        listed = queries.finished if state in FINISHED else queries.unfinished
        start = queries.arguments_of(state, None)
        return await self._database.primary.all(listed, queue=None, name=None, count=count, **start)

    async def queue_stats(self) -> list[QueueStats]:
        """The number of scheduled, ready, running, parked and dead jobs, by queue and state.

        Counts at most queries.WINDOW ready jobs of each queue, and as many jobs of each other state.
        """
        primary = self._database.primary
        counted: dict[str, int] = {}
        oldest: dict[str, datetime] = {}
        for head in await primary.all(queries.ready_heads):
            counted.setdefault(head.queue, head.count or 0)
            times = (head.run_at, head.oldest or head.run_at, oldest.get(head.queue, head.run_at))
            oldest[head.queue] = min(times)
        stats = [
            QueueStats(queue, JobState.READY, min(count, queries.WINDOW), count > queries.WINDOW, oldest[queue])
            for queue, count in counted.items()
        ]
        counts = await primary.all(queries.counts)
        totals: Counter[str] = Counter()
        for each in counts:
            totals[each.state] += each.count
        for each in counts:
            many = totals[each.state] > queries.WINDOW
            stats.append(QueueStats(each.queue, each.state, min(each.count, queries.WINDOW), many, None))
        return stats

    async def paused_queues(self) -> dict[str, datetime]:
        """When each paused queue was paused, by name."""
        paused = await self._database.primary.all(queries.paused)
        return {each.queue: each.paused_at for each in paused}

    async def cancel(self, job_id: UUID, tx: Transaction | None = None) -> bool:
        """Cancel an unfinished job. Returns False if there is none with this id.

        A running job is cancelled at the worker's next heartbeat; its completion is rejected from now on. With ``tx``,
        the cancellation is part of that transaction.
        """
        return bool(await (tx or self._database).run(queries.cancel, job_id=job_id))

    async def retry(self, job_id: UUID) -> None:
        """Make a dead or cancelled job ready, with its attempts reset. Raises NotFound, JobNotDead."""
        async with self._database.transaction() as tx:
            try:
                queue = await tx.find(queries.retry, job_id=job_id)
            except UniqueViolation:
                raise JobNotDead("Another job with the same unique key is unfinished.") from None
            if queue is None:
                await self.get(job_id)
                raise JobNotDead
            hook_of(tx, _Notifications, self.notifier).counts[queue] += 1

    async def discard(self, job_id: UUID) -> None:
        """Delete a finished job and its failures. Raises NotFound, JobUnfinished."""
        if not await self._database.run(queries.discard, job_id=job_id):
            await self.get(job_id)
            raise JobUnfinished

    def notify(self, queues: Iterable[str]) -> None:
        """Notify workers of committed, ready jobs. ``queues`` has the queue of each job."""
        if counts := Counter(queues):
            self.notifier.notify(counts)

    def _row(self, job: Job[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if job.name not in self.registered:
            raise TypeError(f"job {job.name} is not registered; add it to jobs=[...]")
        delayed = job.delay_seconds > 0
        return {
            "id": new_id(),
            "name": job.name,
            "queue": job.queue,
            "priority": job.priority,
            "state": JobState.SCHEDULED if delayed else JobState.READY,
            "arguments": job.encode(args, kwargs),
            "unique_key": job.unique_key,
            "max_attempts": job.max_attempts,
            "delay_seconds": job.delay_seconds if delayed else 0.0,
            "request_id": current_request_id(),
            "traceparent": traceparent(),
        }

    def _notify_after_commit(self, tx: Transaction, row: Mapping[str, Any]) -> None:
        if row["state"] == JobState.READY:
            hook_of(tx, _Notifications, self.notifier).counts[row["queue"]] += 1


class _Notifications(TransactionHook):
    """Counts the jobs of a transaction by queue, and notifies workers after the commit."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self.counts: Counter[str] = Counter()

    async def before_commit(self, tx: Transaction) -> None: ...

    async def committed(self) -> None:
        self._notifier.notify(self.counts)

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None:
        self._notifier.notify(self.counts)  # a notification without a job is harmless
