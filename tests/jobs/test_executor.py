"""One attempt of a job: its arguments, its timeout, and how it can fail."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

import sample_jobs
from jobs_harness import JobsHarness
from restwell.ids import new_id
from restwell.jobs import JobContext, job
from restwell.jobs import _executor as executor

log = structlog.get_logger("test")


async def test_arguments_arrive_with_their_types(harness: JobsHarness) -> None:
    got: list[object] = []

    @job(name="typed")
    async def typed(_context: JobContext, number: int, owner: UUID, at: datetime | None = None) -> None:
        got.extend([number, owner, at])

    harness.known = [typed]
    owner, at = new_id(), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    async with harness.database.transaction() as tx:
        await harness.jobs.enqueue(tx, sample_jobs.typed, 7, owner, at=at)
    async with harness.worker():
        await harness.wait_until_finished()
    assert got == [7, owner, at]


async def test_a_failed_job_is_retried_and_every_error_is_stored(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.fail, until_attempt=3)
    async with harness.worker():
        assert await harness.wait_until_finished() == ["done"]
    found = await harness.jobs.get(job_id)
    assert (found.result, found.attempts) == ("3", 3)
    failures = await harness.jobs.failures(job_id)
    assert [(one.attempt, one.error) for one in failures] == [
        (2, "ValueError: failed in attempt 2"),
        (1, "ValueError: failed in attempt 1"),
    ]
    assert "sample_jobs.py" in failures[0].traceback


async def test_a_permanent_failure_ends_the_job_without_a_retry(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.fail_permanently)
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == "PermanentFailure: the address does not exist"


@pytest.mark.parametrize("name", ["hang", "busy_loop"])
async def test_a_job_that_exceeds_its_timeout_is_cancelled_or_killed(harness: JobsHarness, name: str) -> None:
    """The job ``busy_loop`` never returns: its process is killed."""
    job_id = await harness.enqueue(getattr(sample_jobs, name))
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error.startswith("TimeoutError: timed out after")


@pytest.mark.integration
async def test_a_worker_survives_a_job_that_kills_its_process_or_exits(harness: JobsHarness) -> None:
    died, left = await harness.enqueue(sample_jobs.exit_process), await harness.enqueue(sample_jobs.raise_system_exit)
    squared, halved = (
        await harness.enqueue(sample_jobs.square, number=12),
        await harness.enqueue(sample_jobs.halve, numbers=[3]),
    )
    async with harness.worker():
        assert sorted(await harness.wait_until_finished()) == ["dead", "dead", "done", "done"]
    assert [one.error for one in await harness.jobs.failures(died)] == ["ProcessDied: the process exited with 7"] * 2
    assert [one.error for one in await harness.jobs.failures(left)] == ["SystemExit: 3"] * 2
    assert (await harness.jobs.get(squared)).result == "144"
    assert (await harness.jobs.get(halved)).result == "[1.5]"


async def test_an_error_with_any_text_is_stored(harness: JobsHarness) -> None:
    """Breaks if the text is not escaped: PostgreSQL rejects NUL, and UTF-8 cannot encode a lone surrogate."""
    job_id = await harness.enqueue(sample_jobs.fail_with_unstorable_text)
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == "ValueError: NUL \\x00 and a lone surrogate \\ud800"


@pytest.mark.integration
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_timeout_of_a_synchronous_job_begins_when_it_runs(harness: JobsHarness) -> None:
    """Breaks if the timeout starts with the claim: the last of three jobs waits four seconds for the only process."""
    nap = replace(sample_jobs.blocking_sleep, timeout_seconds=5)
    harness.known = [nap, sample_jobs.square]
    await harness.enqueue(sample_jobs.square, number=2)
    async with harness.worker(processes=1):
        assert await harness.wait_until_finished(60) == ["done"]  # the start of the process is not timed
        for _ in range(3):
            await harness.enqueue(nap, seconds=2.0)
        assert await harness.wait_until_finished(60) == ["done"] * 4


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_result_that_is_too_large_ends_the_job_and_says_what_to_do(harness: JobsHarness) -> None:
    """Breaks without the limit: a result of any size would be stored with the job."""

    @job(name="note")
    async def note(_context: JobContext, text: str) -> str:
        return text * 70_000

    harness.known = [note]
    job_id = await harness.enqueue(sample_jobs.note, text="x")
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == (
        "PermanentFailure: the result has 70,002 characters, at most 65,536; store it and return its id"
    )


async def test_a_job_carries_the_trace_and_the_id_of_its_request(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(executor, "_tracer", provider.get_tracer("restwell.jobs"))

    @job(name="note")
    async def note(context: JobContext, text: str) -> None:
        log.info("inside", text=text, job_id=str(context.job_id))
        log.info("context", **structlog.contextvars.get_contextvars())

    harness.known = [note]
    with provider.get_tracer("test").start_as_current_span("request") as request:
        structlog.contextvars.bind_contextvars(request_id="request-1")
        job_id = await harness.enqueue(sample_jobs.note, text="x")
        structlog.contextvars.unbind_contextvars("request_id")
    without_request = await harness.enqueue(sample_jobs.note, text="outside of any request")
    assert trace.get_current_span() is trace.INVALID_SPAN
    with capture_logs() as lines:
        async with harness.worker():
            await harness.wait_until_finished()

    spans = {span.context.trace_id: span for span in exporter.get_finished_spans() if span.name == "job note"}
    span = spans[request.get_span_context().trace_id]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert len(spans) == 2, "a job without a request starts a new trace"
    ids = {line["job_id"]: line["request_id"] for line in lines if line["event"] == "context"}
    assert ids == {str(job_id): "request-1", str(without_request): None}
    done = {str(line["job_id"]): line["request_id"] for line in lines if line["event"] == "job"}
    assert done == ids
