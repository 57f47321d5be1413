"""Putting jobs into the queue, and looking after them: what an application and its operators use."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

import structlog
from opentelemetry import trace

from restwell.database import Database, Executor, Transaction, TransactionConflict, TransactionHook, UniqueViolation
from restwell.errors import Conflict, NotFound
from restwell.ids import new_id
from restwell.jobs import queries
from restwell.jobs.batch_insert import BatchInsert
from restwell.jobs.job import Job
from restwell.jobs.metrics import JobCollector
from restwell.jobs.notifier import Notifier
from restwell.jobs.rows import FailedAttempt, JobRecord, QueueStats
from restwell.jobs.tables import FINISHED, JobState

P = ParamSpec("P")
R = TypeVar("R")

KEY_TRIES: Final = 3


class JobUnfinished(Conflict):
    code, message = "job_unfinished", "That is only for jobs that have ended; cancel it first."


class JobNotDead(Conflict):
    code, message = "job_not_dead", "Only a dead or cancelled job can be tried again."


class Jobs:
    """The queue. ``register`` names the jobs there are; ``enqueue`` refuses others, which no worker would know."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self.notifier = notifier
        self._batch = BatchInsert(database, queries.insert_job)
        self.registered: dict[str, Job[..., Any]] = {}
        self.metrics = JobCollector()

    def register(self, jobs: Iterable[Job[..., Any]]) -> None:
        """Raises TypeError for two jobs of one name."""
        for one in jobs:
            if self.registered.setdefault(one.name, one) is not one:
                raise TypeError(f"two jobs are named {one.name}; give one another name: @job(name=...)")

    async def close(self) -> None:
        await self.notifier.close()

    async def enqueue(self, executor: Executor, job: Job[P, R], *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Add a job that runs if, and only if, the transaction commits. Returns its id.

        With the database in place of a transaction it is added on its own, in one round trip that it shares with others of the same
        moment. With a unique key of which an unfinished job is there, returns that job's id and adds nothing. Raises TypeError for
        arguments that do not fit, and for a job that is not registered.
        """
        row = self._row(job, args, kwargs)
        job_id: UUID = row["id"]
        if not isinstance(executor, Transaction):
            if job.unique_key is not None:
                return await self._database.in_transaction(lambda tx: self._enqueue_once(tx, row))
            await self._batch.add(row)
            self.notify([job.queue] if row["state"] == JobState.READY else [])
            return job_id
        if job.unique_key is not None:
            return await self._enqueue_once(executor, row)
        executor.defer(queries.insert_job, **row)
        self._announce_with(executor, row)
        return job_id

    async def _enqueue_once(self, tx: Transaction, row: dict[str, Any]) -> UUID:
        """The id of this job, or of the unfinished one that has its key."""
        for _ in range(KEY_TRIES):
            job_id = await tx.find(queries.insert_unique, **row)
            if job_id is not None:
                self._announce_with(tx, row)
                return job_id
            unfinished = await tx.find(queries.of_key, unique_key=row["unique_key"])
            if unfinished is not None:  # else it has just ended
                return unfinished
        raise TransactionConflict

    async def enqueue_many(self, tx: Transaction, job: Job[P, R], arguments: Sequence[Mapping[str, Any]]) -> list[UUID]:
        """Add a job for each mapping of arguments, in one round trip. Returns their ids; a unique key cannot be given."""
        if job.unique_key is not None:
            raise TypeError(f"job {job.name}: many jobs cannot have one unique key")
        rows = [self._row(job, (), dict(each)) for each in arguments]
        await tx.run_many(queries.insert_job, rows)
        for row in rows:
            self._announce_with(tx, row)
        return [row["id"] for row in rows]

    async def get(self, job_id: UUID) -> JobRecord:
        """Raises NotFound."""
        found = await self._database.primary.find(queries.find, id=job_id)
        if found is None:
            raise NotFound
        return found

    async def failures(self, job_id: UUID) -> list[FailedAttempt]:
        """Every attempt that failed, the newest first."""
        return await self._database.primary.all(queries.failures_of, job_id=job_id)

    async def list_jobs(
        self, state: JobState, count: int, after: tuple[datetime | None, UUID] | None = None
    ) -> list[JobRecord]:
        """Jobs in a state, the newest first; ``after`` the last of the page before, by when it ended and its id."""
        primary = self._database.primary
        has_ended = state in FINISHED
        if after is None:
            return await primary.all(queries.ended if has_ended else queries.unfinished, state=state, count=count)
        ended_at, job_id = after
        if has_ended:
            return await primary.all(queries.ended_before, state=state, count=count, before=ended_at, before_id=job_id)
        return await primary.all(queries.unfinished_before, state=state, count=count, before_id=job_id)

    async def queue_stats(self) -> list[QueueStats]:
        """How many jobs wait, run or are dead, by queue and state."""
        return await self._database.primary.all(queries.backlog)

    async def cancel(self, job_id: UUID, tx: Transaction | None = None) -> bool:
        """Cancel a job that has not ended; False for another. One that runs cannot take effect any more, and is told to stop.

        With a transaction, if and only if that commits.
        """
        return bool(await (tx or self._database).run(queries.cancel, job_id=job_id))

    async def retry(self, job_id: UUID) -> None:
        """Give a dead or cancelled job all its attempts again. Raises NotFound, JobNotDead."""
        async with self._database.transaction() as tx:
            try:
                queue = await tx.find(queries.retry, job_id=job_id)
            except UniqueViolation:
                raise JobNotDead("Another job of the same unique key is unfinished.") from None
            if queue is None:
                await self.get(job_id)
                raise JobNotDead
            _hints_of(tx, self.notifier).counts[queue] += 1

    async def discard(self, job_id: UUID) -> None:
        """Delete a job that has ended, and what is known of its failures. Raises NotFound, JobUnfinished."""
        if not await self._database.run(queries.discard, job_id=job_id):
            await self.get(job_id)
            raise JobUnfinished

    def notify(self, queues: Iterable[str]) -> None:
        """Tell workers of jobs that are ready and committed, by the queue of each."""
        if counts := Counter(queues):
            self.notifier.notify(counts)

    def _row(self, job: Job[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if job.name not in self.registered:
            raise TypeError(f"job {job.name} is not known to any worker; add it to jobs=[...]")
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
            "request_id": structlog.contextvars.get_contextvars().get("request_id"),
            "traceparent": _traceparent(),
        }

    def _announce_with(self, tx: Transaction, row: Mapping[str, Any]) -> None:
        if row["state"] == JobState.READY:
            _hints_of(tx, self.notifier).counts[row["queue"]] += 1


class _Hints(TransactionHook):
    """What to tell the workers of once the transaction has committed."""

    def __init__(self, notifier: Notifier) -> None:
        self._dispatch = notifier
        self.counts: Counter[str] = Counter()

    async def before_commit(self, tx: Transaction) -> None: ...

    async def committed(self) -> None:
        self._dispatch.notify(self.counts)

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None:
        self._dispatch.notify(self.counts)  # a hint for nothing does no harm


def _hints_of(tx: Transaction, notifier: Notifier) -> _Hints:
    for hook in tx.hooks:
        if isinstance(hook, _Hints):
            return hook
    hints = _Hints(notifier)
    tx.hooks.append(hints)
    return hints


def _traceparent() -> str | None:
    """The running span as W3C Trace Context writes it, version 00; None where nothing is traced."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
