"""Executes one attempt of a job: calls its function, and records failures."""

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
from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._job import UnknownJob, call_function, signature
from restwell.jobs._processes import Processes
from restwell.jobs._queue import Jobs
from restwell.jobs._rows import ClaimedJob
from restwell.jobs._store import JobStore
from restwell.jobs._tables import JobState
from restwell.observability._logs import JsonLogWriter

log = structlog.get_logger("restwell.jobs")

MAX_TRACEBACK_CHARS: Final = 20_000
MAX_RESULT_BYTES: Final = 65_536
START_SECONDS: Final = 30.0
"""How long an isolated process may take to build the application, in addition to the job's timeout."""

_tracer: Final = trace.get_tracer("restwell.jobs")
_propagator: Final = TraceContextTextMapPropagator()


class _AttemptLine(Struct, frozen=True):
    """The log line of an attempt. ``waited_seconds`` is the time since the job was enqueued."""

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


_FIELDS: Final = _AttemptLine.__struct_fields__[: _AttemptLine.__struct_fields__.index("timestamp")]


class Completed(Struct, frozen=True):
    """The function returned. ``result`` is JSON. ``recorded`` if the completion is already in the database."""

    result: str | None
    recorded: bool


class Parked(Struct, frozen=True):
    """The function was not called: this release does not know the signature that the job ``requires``."""

    requires: str


class JobExecutor:
    """Writes a log line for each attempt to ``lines``, or to the logger without it.

    ``execute_isolated`` runs a job in the process that calls it. The executor calls it in a separate process for each
    isolated job.
    """

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

    async def execute(self, claimed: ClaimedJob) -> Completed | Parked | None:
        """Call the function. Returns None if the attempt failed, which is recorded, or if the lease was lost."""
        structlog.contextvars.bind_contextvars(
            job=claimed.name, job_id=str(claimed.id), attempt=claimed.attempts, request_id=claimed.request_id
        )
        began = time.perf_counter()
        returned: Completed | Parked | None = None
        outcome = "lost"
        with _tracer.start_as_current_span(
            f"job {claimed.name}", context=_parent(claimed.traceparent), kind=trace.SpanKind.CONSUMER
        ) as span:
            try:
                returned = await self._call(claimed)
                outcome = "done"
            except UnknownJob as error:
                returned, outcome = Parked(error.requires), "parked"
            except LeaseLost:
                log.warning("job_lease_lost")
            except asyncio.CancelledError as error:
                if _cancelled_from_outside():
                    raise
                outcome = await self._failed(claimed, error)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a job may raise anything; the worker continues
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                outcome = await self._failed(claimed, error)
        seconds = time.perf_counter() - began
        # The process of an isolated job counts and logs its attempt, if it completed.
        if not isinstance(returned, Completed) or not (claimed.isolated and self._execute_isolated):
            self._jobs.metrics.count(claimed.name, outcome, seconds)
            self._log_attempt(claimed, outcome, seconds)
        return returned

    async def _call(self, claimed: ClaimedJob) -> Completed:
        job = self._jobs.registered.get(claimed.name)
        if job is None:
            raise UnknownJob(signature(claimed.name))
        if claimed.isolated and self._execute_isolated is not None:
            # The isolated process enforces the timeout itself; this limit covers a process that hangs.
            await self._processes.run_within(job.timeout_seconds + START_SECONDS, self._execute_isolated, claimed)
            return Completed(None, recorded=True)
        arguments = job.decode(claimed.arguments)
        context = JobContext(claimed, self._database, self._store, self._services, self._processes.run)
        limit = asyncio.timeout(job.timeout_seconds if job.is_async else None)
        try:
            async with limit:
                if job.is_async:
                    value = await job.function(context, **arguments)
                else:
                    function = job.function.__module__, job.function.__name__, arguments
                    value = await self._processes.run_within(job.timeout_seconds, call_function, *function)
        except TimeoutError as error:
            if limit.expired() or not job.is_async:
                raise TimeoutError(f"timed out after {job.timeout_seconds:g} s") from error
            raise
        result = None if value is None else msgspec.json.encode(value).decode()
        if result is not None and len(result) > MAX_RESULT_BYTES:
            raise PermanentFailure(
                f"the result has {len(result):,} characters, at most {MAX_RESULT_BYTES:,}; store it and return its id"
            )
        return Completed(result, context.completed)

    async def _failed(self, claimed: ClaimedJob, error: BaseException) -> str:
        """Record the failure. Returns the outcome."""
        stack = "".join(traceback.format_exception(error))
        try:
            state = await self._store.fail(
                claimed,
                _storable(f"{type(error).__name__}: {error}"[:MAX_TRACEBACK_CHARS]),
                _storable(stack[-MAX_TRACEBACK_CHARS:]),
                self._jobs.registered[claimed.name].backoff.delay_seconds_after(claimed.attempts),
                permanent=isinstance(error, PermanentFailure),
            )
        except ServiceUnavailable as unavailable:  # the lease expires, and the job is retried
            log.warning("job_failure_not_recorded", cause=repr(unavailable))
            return "failed"
        log_failure = log.error if state == JobState.DEAD else log.warning
        log_failure("job_failed", state=state or "lost", error=f"{type(error).__name__}: {error}", exc_info=error)
        return "lost" if state is None else "dead" if state == JobState.DEAD else "failed"

    def _log_attempt(self, claimed: ClaimedJob, outcome: str, seconds: float) -> None:
        now = datetime.now(UTC)
        line = _AttemptLine(
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
    """Text that every database accepts: lone surrogates and NUL are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _parent(traceparent: str | None) -> Any:
    return _propagator.extract({"traceparent": traceparent}) if traceparent else None


def _cancelled_from_outside() -> bool:
    """Whether this task itself was cancelled. Otherwise the CancelledError came from something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
