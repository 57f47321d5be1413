"""A worker: claims ready jobs, runs several concurrently, and maintains the job table."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from restwell._batcher import Batcher
from restwell.database import Database
from restwell.errors import ServiceUnavailable
from restwell.ids import new_id
from restwell.jobs._executor import JobExecutor, Parked
from restwell.jobs._heartbeat import HEARTBEAT_SECONDS, Heartbeat
from restwell.jobs._processes import Processes
from restwell.jobs._queries import MAX_BATCH
from restwell.jobs._queue import Jobs
from restwell.jobs._rows import ClaimedJob
from restwell.jobs._scheduler import Scheduler
from restwell.jobs._store import LEASE_SECONDS, JobStore
from restwell.jobs._tables import JobState
from restwell.observability._logs import JsonLogWriter
from restwell.observability._process_reports import memory_bytes
from restwell.observability._trace_recorder import TraceRecorder

T = TypeVar("T")

log = structlog.get_logger("restwell.jobs")

POLL_SECONDS: Final = 1.0
"""The longest that a ready job waits for a free worker if its notification was lost."""
PRUNE_SECONDS: Final = 60.0
ABANDON_SECONDS: Final = 2.0


@dataclass(frozen=True)
class WorkerOptions:
    """``queues`` are in order of precedence. Of ``concurrency`` running jobs, ``processes`` may be CPU-bound.

    The worker stops after ``max_jobs`` jobs or above ``max_memory_bytes``, so that the supervisor replaces it.
    ``liveness_file`` is touched once a second while the event loop runs. If the event loop is blocked for
    ``blocked_seconds``, the process exits.
    """

    queues: tuple[str, ...]
    concurrency: int = 10
    processes: int = 2
    drain_seconds: float = 25.0
    done_retention_seconds: float = 86_400.0
    dead_retention_seconds: float = 30 * 86_400.0
    max_jobs: int | None = None
    max_memory_bytes: int | None = None
    liveness_file: Path | None = None
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lease_seconds: float = LEASE_SECONDS
    blocked_seconds: float | None = None


class Worker:
    """Runs until ``stop``. ``name`` is unique among all workers, past and present.

    ``background`` runs beside the jobs, until the event that it gets is set.
    """

    def __init__(
        self,
        database: Database,
        url: str,
        jobs: Jobs,
        services: Sequence[object],
        options: WorkerOptions,
        *,
        lines: JsonLogWriter | None = None,
        traces: TraceRecorder | None = None,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
        name: str | None = None,
        background: Callable[[asyncio.Event], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.completed_count = 0
        self._url = url
        self._jobs = jobs
        self._store = JobStore(database, options.lease_seconds)
        self._processes = Processes(options.processes)
        self._executor = JobExecutor(
            database,
            jobs,
            self._store,
            services,
            self._processes,
            lines=lines,
            traces=traces,
            execute_isolated=execute_isolated,
        )
        self._scheduler = Scheduler(database, jobs, self._store)
        self._options = options
        self._background = background
        self._running: dict[UUID, int] = {}
        self._tasks: dict[UUID, tuple[asyncio.Task[None], ClaimedJob]] = {}
        self._finished: Batcher[tuple[ClaimedJob, str | None], None] = Batcher(self._record_finished)
        self._parked: Batcher[tuple[ClaimedJob, str], None] = Batcher(self._record_parked)
        self._unrecorded: set[asyncio.Future[None]] = set()
        self._signatures = [signature for job in jobs.registered.values() for signature in job.signatures]
        self._changed = asyncio.Event()
        self._maintaining = True
        self.stopping = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether no job is running."""
        return not self._running

    def stop(self) -> None:
        """Stop claiming jobs. ``run`` returns when the running jobs have finished, or after ``drain_seconds``."""
        self.stopping.set()

    async def run(self) -> None:
        """Claim and run jobs until ``stop`` is called, then drain."""
        log.info("worker_started", worker=self.name, queues=self._options.queues, concurrency=self._options.concurrency)
        options = self._options
        heartbeat = Heartbeat(
            self._url,
            self._running,
            self._cancel_lost,
            heartbeat_seconds=options.heartbeat_seconds,
            lease_seconds=options.lease_seconds,
            blocked_seconds=options.blocked_seconds,
        )
        async with heartbeat:
            maintenance = asyncio.create_task(self._maintain())
            background = asyncio.create_task(self._run_background())
            try:
                await self._claim_loop()
                await self._drain()
                await asyncio.wait({background}, timeout=options.drain_seconds)
                if background.done():
                    background.result()
            finally:
                background.cancel()
                self._maintaining = False  # in case the cancellation is swallowed below
                maintenance.cancel()
                with suppress(asyncio.CancelledError):
                    await maintenance
                await asyncio.to_thread(self._processes.close)
        log.info("worker_stopped", worker=self.name, completed=self.completed_count)

    async def execute(self, claimed: ClaimedJob) -> None:
        """Run one job that is already claimed, and record its outcome."""
        outcome = await self._executor.execute(claimed)
        if isinstance(outcome, Parked):
            await self._store.park([(claimed, outcome.requires)])
        elif outcome is not None and not outcome.recorded:
            await self._store.complete([(claimed, outcome.result)])
        await asyncio.to_thread(self._processes.close)

    async def _run_background(self) -> None:
        if self._background is not None:
            try:
                await self._background(self.stopping)
            finally:  # if it fails, the supervisor replaces this worker
                self.stop()

    async def _claim_loop(self) -> None:
        stop_requested = asyncio.create_task(self.stopping.wait())
        woken = False
        while not self.stopping.is_set():
            self._changed.clear()
            free = self._options.concurrency - len(self._running)
            if free <= 0 or len(self._unrecorded) > self._options.concurrency:
                await _first(stop_requested, self._changed.wait())
                continue
            try:
                claimed = await self._store.claim(self._options.queues, free, self.name)
            except ServiceUnavailable as error:
                log.warning("job_claim_failed", cause=repr(error.__cause__ or error))
                await _first(stop_requested, asyncio.sleep(POLL_SECONDS))
                continue
            for one in claimed:
                self._start(one)
            if len(claimed) == free and woken:
                self._jobs.notifier.notify_another(claimed[-1].queue)
            woken = len(claimed) < free
            if woken:
                seconds = random.uniform(0.8, 1) * POLL_SECONDS  # noqa: S311  # so that workers do not poll in step
                await _first(
                    stop_requested, self._jobs.notifier.wait(self._options.queues, free - len(claimed), seconds)
                )

    def _start(self, claimed: ClaimedJob) -> None:
        self._running[claimed.id] = claimed.fencing_token
        self._tasks[claimed.id] = asyncio.create_task(self._execute(claimed)), claimed

    async def _execute(self, claimed: ClaimedJob) -> None:
        try:
            outcome = await self._executor.execute(claimed)
        finally:
            if self._running.get(claimed.id) == claimed.fencing_token:
                del self._running[claimed.id], self._tasks[claimed.id]
            self._changed.set()
        if isinstance(outcome, Parked):
            self._record(self._parked.add((claimed, outcome.requires)))
            return
        self.completed_count += 1
        if outcome is not None and not outcome.recorded:
            self._record(self._finished.add((claimed, outcome.result)))
        if self._options.max_jobs is not None and self.completed_count >= self._options.max_jobs:
            self.stop()

    def _record(self, recorded: "asyncio.Future[None]") -> None:
        """Record an outcome in the background, with those of other jobs."""
        self._unrecorded.add(recorded)
        recorded.add_done_callback(self._recorded)

    def _recorded(self, recorded: "asyncio.Future[None]") -> None:
        self._unrecorded.discard(recorded)
        self._changed.set()

    async def _record_parked(self, batch: list[tuple[ClaimedJob, str]]) -> list[None]:
        log.warning("jobs_parked", count=len(batch), requires=sorted({requires for _, requires in batch}))
        return await self._record_batch(batch, self._store.park)

    async def _record_finished(self, batch: list[tuple[ClaimedJob, str | None]]) -> list[None]:
        return await self._record_batch(batch, self._store.complete)

    async def _record_batch(
        self, batch: list[tuple[ClaimedJob, T]], record: Callable[[list[tuple[ClaimedJob, T]]], Awaitable[set[UUID]]]
    ) -> list[None]:
        """Record a batch of outcomes. The jobs are done, so it is repeated until it succeeds."""
        while True:
            try:
                recorded = await record(batch)
            except Exception as error:  # noqa: BLE001  # whatever the reason
                log.warning("job_outcome_not_recorded", count=len(batch), cause=repr(error.__cause__ or error))
                await asyncio.sleep(POLL_SECONDS)
            else:
                for late in (one for one, _ in batch if one.id not in recorded):
                    log.warning("job_lease_lost", job=late.name, job_id=str(late.id))
                return [None] * len(batch)

    def _cancel_lost(self, jobs: dict[UUID, int]) -> None:
        """Cancel the tasks of jobs that were cancelled or claimed by another worker."""
        for job_id, fencing_token in jobs.items():
            if self._running.get(job_id) == fencing_token:
                self._tasks[job_id][0].cancel()

    async def _drain(self) -> None:
        """Wait for the running jobs, then release those that have not finished."""
        tasks = {task for task, _ in self._tasks.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.drain_seconds)
        unfinished = list(self._tasks.values())
        for task, _ in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait({task for task, _ in unfinished}, timeout=ABANDON_SECONDS)
            with suppress(ServiceUnavailable):
                await self._store.release(claimed for _, claimed in unfinished)
        if self._unrecorded:
            await asyncio.wait(self._unrecorded, timeout=self._options.drain_seconds)

    async def _maintain(self) -> None:
        """Maintain the job table once a second.

        Enqueues cron jobs, makes due and known parked jobs ready, handles expired leases, and deletes jobs past their
        retention. Runs without a pause while one statement does not reach all rows.
        """
        prune_at = 0.0
        while self._maintaining:
            more = False
            try:
                self._check_limits()
                await self._scheduler.run_once()
                more = await self._make_ready()
                if time.monotonic() >= prune_at:
                    await self._prune()
                    prune_at = time.monotonic() + PRUNE_SECONDS
            except ServiceUnavailable as error:
                log.warning("job_maintenance_failed", cause=repr(error.__cause__ or error))
            except Exception as error:  # one bad row must not stop maintenance
                log.exception("job_maintenance_failed", exc_info=error)
            if not more:
                await asyncio.sleep(POLL_SECONDS)

    async def _make_ready(self) -> bool:
        """Returns whether more rows may be left."""
        ready = await self._store.promote()
        unparked = await self._store.unpark(self._signatures)
        expired = await self._store.expire()
        for one in expired:
            event = "job_expired" if one.requires is None else "parked_job_expired"
            log.warning(
                event, job=one.name, job_id=str(one.id), worker=one.worker, state=one.state, requires=one.requires
            )
        self._jobs.notify([*ready, *unparked, *(one.queue for one in expired if one.state == JobState.READY)])
        return max(len(ready), len(unparked), len(expired)) >= MAX_BATCH

    async def _prune(self) -> None:
        for state in (JobState.DONE, JobState.CANCELLED, JobState.DEAD):
            dead = state == JobState.DEAD
            age = self._options.dead_retention_seconds if dead else self._options.done_retention_seconds
            while await self._store.prune(state, age):
                pass

    def _check_limits(self) -> None:
        if self._options.liveness_file is not None:
            try:
                self._options.liveness_file.touch()
            except OSError as error:  # the liveness probe fails and the process is replaced; until then it works
                log.warning("liveness_file_failed", cause=repr(error))
        limit = self._options.max_memory_bytes
        if limit is not None and (used := memory_bytes()) > limit:
            log.warning("worker_memory_exceeded", used_bytes=used, limit_bytes=limit)
            self.stop()


async def _first(stopping: asyncio.Task[Any], other: Awaitable[Any]) -> None:
    """Wait for either, and cancel ``other`` if ``stopping`` is first. Raises what ``other`` raises."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({stopping, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    else:
        waiting.result()
