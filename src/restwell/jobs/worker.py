"""A worker: takes jobs that are ready, does several at a time, and looks after the table."""

import asyncio
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from restwell.database import Database
from restwell.errors import ServiceUnavailable
from restwell.ids import new_id
from restwell.jobs.executor import JobExecutor, Parked
from restwell.jobs.heartbeat import BEAT_SECONDS, Heartbeat
from restwell.jobs.processes import Processes
from restwell.jobs.queries import MANY
from restwell.jobs.queue import Jobs
from restwell.jobs.rows import ClaimedJob
from restwell.jobs.scheduler import Scheduler
from restwell.jobs.store import LEASE_SECONDS, JobStore
from restwell.jobs.tables import JobState
from restwell.observability.logs import JsonLogWriter

T = TypeVar("T")

log = structlog.get_logger("restwell.jobs")

LOOK_SECONDS: Final = 1.0
"""The longest a ready job waits for a free worker when no hint of it has come."""
PRUNE_SECONDS: Final = 60.0
ABANDON_SECONDS: Final = 2.0


@dataclass(frozen=True)
class WorkerOptions:
    """``queues`` in the order in which they are emptied; ``concurrency`` jobs at a time, of which ``processes`` may be work of the
    processor. A worker stops by itself after ``max_jobs`` or beyond ``max_memory_bytes``,
    to be replaced. ``liveness_file`` is touched once a second, as long as the event loop goes round; when it has not
    for ``blocked_seconds``, the process ends.
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
    beat_seconds: float = BEAT_SECONDS
    lease_seconds: float = LEASE_SECONDS
    blocked_seconds: float | None = None


class Worker:
    """``name`` tells this one from all others, before and after it."""

    def __init__(
        self,
        database: Database,
        url: str,
        jobs: Jobs,
        services: Sequence[object],
        options: WorkerOptions,
        *,
        lines: JsonLogWriter | None = None,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.done = 0
        self._url = url
        self._jobs = jobs
        self._store = JobStore(database, options.lease_seconds)
        self._processes = Processes(options.processes)
        self._performer = JobExecutor(
            database, jobs, self._store, services, self._processes, lines=lines, execute_isolated=execute_isolated
        )
        self._scheduler = Scheduler(database, jobs, self._store)
        self._options = options
        self._running: dict[UUID, int] = {}
        self._tasks: dict[UUID, tuple[asyncio.Task[None], ClaimedJob]] = {}
        self._finished: list[tuple[ClaimedJob, str | None]] = []
        self._parked: list[tuple[ClaimedJob, str]] = []
        self._known = [requires for job in jobs.registered.values() for requires in job.requirements]
        self._recording: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._tending = True
        self.stopping = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether no job of its is running."""
        return not self._running

    def stop(self) -> None:
        """Take no more jobs; ``run`` returns when those that run have ended, or the time for that is over."""
        self.stopping.set()

    async def run(self) -> None:
        """Work until told to stop."""
        log.info("worker_started", worker=self.name, queues=self._options.queues, concurrency=self._options.concurrency)
        options = self._options
        heartbeat = Heartbeat(
            self._url,
            self._running,
            self._lost,
            beat_seconds=options.beat_seconds,
            lease_seconds=options.lease_seconds,
            blocked_seconds=options.blocked_seconds,
        )
        async with heartbeat:
            tending = asyncio.create_task(self._tend())
            try:
                await self._feed()
                await self._drain()
            finally:
                self._tending = False  # should something below have swallowed the cancellation
                tending.cancel()
                with suppress(asyncio.CancelledError):
                    await tending
                await asyncio.to_thread(self._processes.close)
        log.info("worker_stopped", worker=self.name, done=self.done)

    async def do(self, claimed: ClaimedJob) -> None:
        """Do this one job, which is claimed already, and note what became of it."""
        done = await self._performer.perform(claimed)
        if isinstance(done, Parked):
            await self._store.park([(claimed, done.requires)])
        elif done is not None and not done.recorded:
            await self._store.complete([(claimed, done.result)])
        await asyncio.to_thread(self._processes.close)

    async def _feed(self) -> None:
        told = asyncio.create_task(self.stopping.wait())
        woken = False
        while not self.stopping.is_set():
            self._changed.clear()
            free = self._options.concurrency - len(self._running)
            if free <= 0 or len(self._finished) + len(self._parked) > self._options.concurrency:
                await _first(told, self._changed.wait())
                continue
            try:
                claimed = await self._store.claim(self._options.queues, free, self.name)
            except ServiceUnavailable as error:
                log.warning("job_claim_failed", cause=repr(error.__cause__ or error))
                await _first(told, asyncio.sleep(LOOK_SECONDS))
                continue
            for one in claimed:
                self._begin(one)
            if len(claimed) == free and woken:
                self._jobs.notifier.notify_another(claimed[-1].queue)
            woken = len(claimed) < free
            if woken:
                seconds = random.uniform(0.8, 1) * LOOK_SECONDS  # noqa: S311  # not all at once
                await _first(told, self._jobs.notifier.wait(self._options.queues, free - len(claimed), seconds))

    def _begin(self, claimed: ClaimedJob) -> None:
        self._running[claimed.id] = claimed.fencing_token
        self._tasks[claimed.id] = asyncio.create_task(self._perform(claimed)), claimed

    async def _perform(self, claimed: ClaimedJob) -> None:
        try:
            done = await self._performer.perform(claimed)
        finally:
            if self._running.get(claimed.id) == claimed.fencing_token:
                del self._running[claimed.id], self._tasks[claimed.id]
            self._changed.set()
        if isinstance(done, Parked):
            self._parked.append((claimed, done.requires))
            self._record()
            return
        self.done += 1
        if done is not None and not done.recorded:
            self._finished.append((claimed, done.result))
            self._record()
        if self._options.max_jobs is not None and self.done >= self._options.max_jobs:
            self.stop()

    def _record(self) -> None:
        """Note what has ended, together with all that ends until the statement before has come back."""
        if self._recording is None:
            self._recording = asyncio.create_task(self._record_all())

    async def _record_all(self) -> None:
        while self._finished or self._parked:
            if parked := self._parked:
                self._parked = []
                log.warning("jobs_parked", count=len(parked), requires=sorted({requires for _, requires in parked}))
                self._parked += await self._noted(parked, self._store.park)
            if finished := self._finished:
                self._finished = []
                self._finished += await self._noted(finished, self._store.complete)
        self._recording = None

    async def _noted(
        self, batch: list[tuple[ClaimedJob, T]], note: Callable[[list[tuple[ClaimedJob, T]]], Awaitable[set[UUID]]]
    ) -> list[tuple[ClaimedJob, T]]:
        """Note it. Returns what could not be noted."""
        try:
            ours = await note(batch)
        except Exception as error:  # noqa: BLE001  # whatever it was: they are done, and it is tried until that is noted
            log.warning("job_outcome_not_recorded", count=len(batch), cause=repr(error.__cause__ or error))
            await asyncio.sleep(LOOK_SECONDS)
            return batch
        for late in (one for one, _ in batch if one.id not in ours):
            log.warning("job_lease_lost", job=late.name, job_id=str(late.id))
        self._changed.set()
        return []

    def _lost(self, jobs: dict[UUID, int]) -> None:
        """These are another's now, or cancelled: what this worker still does of them has no effect any more."""
        for job_id, fencing_token in jobs.items():
            if self._running.get(job_id) == fencing_token:
                self._tasks[job_id][0].cancel()

    async def _drain(self) -> None:
        """Let what runs end; give back what does not."""
        tasks = {task for task, _ in self._tasks.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.drain_seconds)
        left = list(self._tasks.values())
        for task, _ in left:
            task.cancel()
        if left:
            await asyncio.wait({task for task, _ in left}, timeout=ABANDON_SECONDS)
            with suppress(ServiceUnavailable):
                await self._store.release(claimed for _, claimed in left)
        if self._recording is not None:
            await asyncio.wait({self._recording}, timeout=self._options.drain_seconds)

    async def _tend(self) -> None:
        """Once a second: what is due becomes ready, and what this worker knows of the parked; what was left by the dead is taken
        from them; what is old goes. As long as there is more than one statement changes, without a pause.
        """
        prune_at = 0.0
        while self._tending:
            more = False
            try:
                self._look_at_itself()
                await self._scheduler.tick()
                more = await self._make_ready()
                if time.monotonic() >= prune_at:
                    await self._prune()
                    prune_at = time.monotonic() + PRUNE_SECONDS
            except ServiceUnavailable as error:
                log.warning("job_maintenance_failed", cause=repr(error.__cause__ or error))
            except Exception as error:  # one bad row must not end what all others wait for
                log.exception("job_maintenance_failed", exc_info=error)
            if not more:
                await asyncio.sleep(LOOK_SECONDS)

    async def _make_ready(self) -> bool:
        """Returns whether there is more to be made ready."""
        ready = await self._store.promote()
        known = await self._store.unpark(self._known)
        expired = await self._store.expire()
        for one in expired:
            event = "job_expired" if one.requires is None else "parked_job_expired"
            log.warning(
                event, job=one.name, job_id=str(one.id), worker=one.worker, state=one.state, requires=one.requires
            )
        self._jobs.notify([*ready, *known, *(one.queue for one in expired if one.state == JobState.READY)])
        return max(len(ready), len(known), len(expired)) >= MANY

    async def _prune(self) -> None:
        for state in (JobState.DONE, JobState.CANCELLED, JobState.DEAD):
            dead = state == JobState.DEAD
            age = self._options.dead_retention_seconds if dead else self._options.done_retention_seconds
            while await self._store.prune(state, age):
                pass

    def _look_at_itself(self) -> None:
        if self._options.liveness_file is not None:
            try:
                self._options.liveness_file.touch()
            except OSError as error:  # whoever looks at it ends this process; until then it works
                log.warning("liveness_file_failed", cause=repr(error))
        limit = self._options.max_memory_bytes
        if limit is not None and (used := memory_bytes()) > limit:
            log.warning("worker_memory_exceeded", used_bytes=used, limit_bytes=limit)
            self.stop()


async def _first(stopping: asyncio.Task[Any], other: Awaitable[Any]) -> None:
    """Wait for the one or the other."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({stopping, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    else:
        waiting.result()


def memory_bytes() -> int:
    """What this process holds in memory now, or where that is not told, the most it has held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1_024
