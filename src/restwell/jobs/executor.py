"""Doing a job: its function is called with its arguments, and what became of it is noted."""

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from restwell.database import Database
from restwell.errors import PermanentFailure, ServiceUnavailable
from restwell.jobs.context import JobContext, LeaseLost
from restwell.jobs.job import NotKnownHere, call, requirement
from restwell.jobs.processes import Processes
from restwell.jobs.queue import Jobs
from restwell.jobs.rows import ClaimedJob
from restwell.jobs.store import JobStore
from restwell.jobs.tables import JobState
from restwell.observability.logs import JsonLogWriter

log = structlog.get_logger("restwell.jobs")

MAX_TRACEBACK_CHARS: Final = 20_000
MAX_RESULT_BYTES: Final = 65_536
START_SECONDS: Final = 30.0
"""How long a process may take to build the application, beyond the job's own time."""

_tracer: Final = trace.get_tracer("restwell.jobs")
_propagator: Final = TraceContextTextMapPropagator()


class _Line(Struct, frozen=True):
    """An attempt, as the log has it. ``waited_seconds`` is from when the job was enqueued until this attempt began."""

    job: str
    job_id: UUID
    queue: str
    attempt: int
    outcome: str
    duration_ms: float
    waited_seconds: float
    request_id: str | None
    timestamp: datetime
    event: str = "job"
    level: str = "info"


_FIELDS: Final = _Line.__struct_fields__[: _Line.__struct_fields__.index("timestamp")]


class Done(Struct, frozen=True):
    """The function has returned. ``result`` is JSON; ``recorded``, if its own transaction has ended the job."""

    result: str | None
    recorded: bool


class Parked(Struct, frozen=True):
    """The function was not called: this release does not know what the job ``requires``."""

    requires: str


class JobExecutor:
    """Logs a line for each attempt, through ``lines`` where given. ``execute_isolated``, where given, does a job that is not to be run beside others, in the process that calls it."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        store: JobStore,
        services: Sequence[object],
        processes: Processes,
        *,
        lines: JsonLogWriter | None = None,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store
        self._services = services
        self._processes = processes
        self._lines = lines
        self._execute_isolated = execute_isolated

    async def perform(self, claimed: ClaimedJob) -> Done | Parked | None:
        """Call the function. None, if it failed, which has been noted, or if the job is another's now."""
        structlog.contextvars.bind_contextvars(
            job=claimed.name, job_id=str(claimed.id), attempt=claimed.attempts, request_id=claimed.request_id
        )
        began = time.perf_counter()
        done: Done | Parked | None = None
        outcome = "lost"
        with _tracer.start_as_current_span(
            f"job {claimed.name}", context=_parent(claimed.traceparent), kind=trace.SpanKind.CONSUMER
        ) as span:
            try:
                done = await self._call(claimed)
                outcome = "done"
            except NotKnownHere as error:
                done, outcome = Parked(error.requires), "parked"
            except LeaseLost:
                log.warning("job_lease_lost")
            except asyncio.CancelledError as error:
                if _is_wanted():
                    raise
                outcome = await self._failed(claimed, error)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a job may raise anything; the worker goes on
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                outcome = await self._failed(claimed, error)
        seconds = time.perf_counter() - began
        if not isinstance(done, Done) or not (
            claimed.isolated and self._execute_isolated
        ):  # else the process that did it has said so
            self._jobs.metrics.count(claimed.name, outcome, seconds)
            self._say(claimed, outcome, seconds)
        return done

    async def _call(self, claimed: ClaimedJob) -> Done:
        job = self._jobs.registered.get(claimed.name)
        if job is None:
            raise NotKnownHere(requirement(claimed.name))
        if claimed.isolated and self._execute_isolated is not None:
            # It keeps its own time; ours is for the case that it cannot.
            await self._processes.run_within(job.timeout_seconds + START_SECONDS, self._execute_isolated, claimed)
            return Done(None, recorded=True)
        arguments = job.decode(claimed.arguments)
        run = JobContext(claimed, self._database, self._store, self._services, self._processes.run)
        limit = asyncio.timeout(job.timeout_seconds if job.is_async else None)
        try:
            async with limit:
                if job.is_async:
                    value = await job.function(run, **arguments)
                else:
                    function = job.function.__module__, job.function.__name__, arguments
                    value = await self._processes.run_within(job.timeout_seconds, call, *function)
        except TimeoutError as error:
            if limit.expired() or not job.is_async:
                raise TimeoutError(f"not done within {job.timeout_seconds:g} s") from error
            raise
        result = None if value is None else msgspec.json.encode(value).decode()
        if result is not None and len(result) > MAX_RESULT_BYTES:
            raise PermanentFailure(f"a result of {len(result):,} characters; store it, and return where it is")
        return Done(result, run.completed)

    async def _failed(self, claimed: ClaimedJob, error: BaseException) -> str:
        """Note it. Returns the outcome."""
        trail = "".join(traceback.format_exception(error))
        try:
            state = await self._store.fail(
                claimed,
                _storable(f"{type(error).__name__}: {error}"[:MAX_TRACEBACK_CHARS]),
                _storable(trail[-MAX_TRACEBACK_CHARS:]),
                self._jobs.registered[claimed.name].backoff.delay_seconds_after(claimed.attempts),
                permanent=isinstance(error, PermanentFailure),
            )
        except ServiceUnavailable as unavailable:  # its lease will end, and it is tried again
            log.warning("job_failure_not_recorded", cause=repr(unavailable))
            return "failed"
        say = log.error if state == JobState.DEAD else log.warning
        say("job_failed", state=state or "lost", error=f"{type(error).__name__}: {error}", exc_info=error)
        return "lost" if state is None else "dead" if state == JobState.DEAD else "failed"

    def _say(self, claimed: ClaimedJob, outcome: str, seconds: float) -> None:
        now = datetime.now(UTC)
        line = _Line(
            claimed.name,
            claimed.id,
            claimed.queue,
            claimed.attempts,
            outcome,
            int(seconds * 1e6) / 1e3,
            round((now - claimed.enqueued_at).total_seconds(), 3),
            claimed.request_id,
            now,
        )
        if self._lines is not None:
            self._lines.write(line)
        else:
            log.info("job", **{name: getattr(line, name) for name in _FIELDS})


def _storable(text: str) -> str:
    """Text as every database takes it: in UTF-8, and without the character zero."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _parent(traceparent: str | None) -> Any:
    return _propagator.extract({"traceparent": traceparent}) if traceparent else None


def _is_wanted() -> bool:
    """Whether this task was cancelled from outside, and not by what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
