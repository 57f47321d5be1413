"""Executes one attempt of a job: calls its function, and records failures."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from restwell.database import Database
from restwell.errors import PermanentFailure, ServiceUnavailable
from restwell.jobs._context import JobContext, LeaseLost
from restwell.jobs._job import UnknownJob, call_function, signature
from restwell.jobs._processes import Processes
from restwell.jobs._queue import Jobs
from restwell.jobs._redaction import Secrets
from restwell.jobs._rows import ClaimedJob
from restwell.jobs._store import JobStore
from restwell.jobs._tables import JobState
from restwell.observability._logs import JsonLogWriter
from restwell.observability._recent_requests import EndedJob
from restwell.observability._trace import Trace, current, note_error
from restwell.observability._trace_recorder import TraceRecorder

log = structlog.get_logger("restwell.jobs")

MAX_TRACEBACK_CHARS: Final = 20_000
MAX_RESULT_BYTES: Final = 65_536
START_SECONDS: Final = 30.0
"""How long an isolated process may take to build the application, in addition to the job's timeout."""

_LEVELS: Final = {"done": "info", "parked": "info", "dead": "error"}
"""The level of the log line by outcome; warning for others."""
_FAILED: Final = {"failed", "dead"}


class _AttemptLine(Struct, frozen=True):
    """The log line of an attempt. ``waited_seconds`` is the time since the job was enqueued.

    ``db_ms`` and ``cache`` are as in the log line of a request.
    """

    job: str
    job_id: UUID
    queue: str
    attempt: int
    outcome: str
    duration_ms: float
    waited_seconds: float
    request_id: str | None
    trace_id: str
    span_id: str
    db_ms: float
    cache: str | None
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
        traces: TraceRecorder | None = None,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store
        self._services = services
        self._processes = processes
        self._lines = lines
        self._traces = traces if traces is not None else TraceRecorder()
        self._execute_isolated = execute_isolated

    async def execute(self, claimed: ClaimedJob) -> Completed | Parked | None:
        """Call the function. Returns None if the attempt failed, which is recorded, or if the lease was lost."""
        structlog.contextvars.bind_contextvars(
            job=claimed.name, job_id=str(claimed.id), attempt=claimed.attempts, request_id=claimed.request_id
        )
        trace = self._traces.start_job(claimed.traceparent, claimed.request_id)
        current.set((trace, trace.span_id, None))  # this task runs nothing else
        began = time.perf_counter()
        returned: Completed | Parked | None = None
        outcome = "lost"
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
            outcome = await self._failed(claimed, error)
        ended = time.perf_counter()
        # The process of an isolated job counts, logs and traces its attempt, if it completed.
        if not isinstance(returned, Completed) or not (claimed.isolated and self._execute_isolated):
            self._jobs.metrics.count(claimed.name, outcome, ended - began)
            self._log_attempt(claimed, outcome, ended - began, trace)
            self._traces.end_job(
                EndedJob(
                    trace,
                    began,
                    ended,
                    time.time(),
                    claimed.name,
                    claimed.queue,
                    str(claimed.id),
                    claimed.attempts,
                    outcome,
                ),
                failed=outcome in _FAILED,
            )
        current.set(None)
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
        note_error(error)
        stack = "".join(traceback.format_exception(error))
        try:
            state = await self._store.fail(
                claimed,
                storable(f"{type(error).__name__}: {error}"[:MAX_TRACEBACK_CHARS]),
                storable(stack[-MAX_TRACEBACK_CHARS:]),
                self._jobs.registered[claimed.name].backoff.delay_seconds_after(claimed.attempts),
                permanent=isinstance(error, PermanentFailure),
            )
        except ServiceUnavailable as unavailable:  # the lease expires, and the job is retried
            log.warning("job_failure_not_recorded", cause=repr(unavailable))
            return "failed"
        secrets = Secrets()
        secrets.document(claimed.arguments, self._jobs.registered[claimed.name].secret_arguments)
        log_failure = log.error if state == JobState.DEAD else log.warning
        log_failure(
            "job_failed",
            state=state or "lost",
            error=secrets.text(f"{type(error).__name__}: {error}"),
            exception=secrets.text(stack),
        )
        return "lost" if state is None else "dead" if state == JobState.DEAD else "failed"

    def _log_attempt(self, claimed: ClaimedJob, outcome: str, seconds: float, trace: Trace) -> None:
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
            trace.trace_id,
            trace.span_id,
            int(trace.db_seconds * 1e6) / 1e3,
            trace.cache,
            now,
            level=_LEVELS.get(outcome, "warning"),
        )
        if self._lines is not None:
            self._lines.write(line)
        else:
            log.log(
                logging.getLevelNamesMapping()[line.level.upper()],
                "job",
                **{name: getattr(line, name) for name in _FIELDS},
            )


def storable(text: str) -> str:
    """Text that every database accepts: lone surrogates and NUL are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _cancelled_from_outside() -> bool:
    """Whether this task itself was cancelled. Otherwise the CancelledError came from something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
