"""One attempt of a job: its arguments, its timeout, and how it can fail."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import structlog
from structlog.testing import capture_logs

import sample_jobs
from jobs_harness import JobsHarness
from restwell.ids import new_id
from restwell.jobs import JobContext, job
from restwell.observability._recent_requests import Ended, EndedJob
from restwell.observability._trace import Trace, add_ids, current
from restwell.observability._trace_recorder import TraceRecorder

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


@pytest.mark.slow
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


async def test_the_log_line_of_a_failure_has_no_secret_argument(harness: JobsHarness) -> None:
    """Fails if the message or the traceback is logged as it was raised, or only names like passwords are secrets."""

    secrets = {"code": "code-4711", "password": "hunter22"}
    await harness.enqueue(sample_jobs.send_code, address="a@shop.example", **secrets)
    with capture_logs() as lines:
        async with harness.worker():
            assert await harness.wait_until_finished() == ["dead"]
    (line,) = [each for each in lines if each["event"] == "job_failed"]
    assert (line["log_level"], line["error"]) == (
        "error",
        "ValueError: a@shop.example refused [redacted] and [redacted]",
    )
    assert "KeyError: '[redacted]'" in line["exception"]
    assert [secret for secret in secrets.values() if secret in str(lines)] == []


async def test_a_permanent_failure_ends_the_job_without_a_retry(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.fail_permanently)
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == "PermanentFailure: the address does not exist"


@pytest.mark.slow
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


async def test_a_job_carries_the_trace_and_the_id_of_its_request(harness: JobsHarness) -> None:
    @job(name="note")
    async def note(context: JobContext, text: str) -> None:
        log.info("inside", text=text, job_id=str(context.job_id))

    harness.known = [note]
    request = Trace("a" * 32, "b" * 16, sampled=True, request_id="request-1")
    current.set((request, request.span_id, None))
    job_id = await harness.enqueue(sample_jobs.note, text="x")
    current.set(None)
    without_request = await harness.enqueue(sample_jobs.note, text="outside of any request")
    (enqueued,) = [each for each in request.spans if each[1] == "enqueue"]
    assert (enqueued[0], enqueued[7]) == ("enqueue note", {"queue": "default", "job_id": job_id})
    exported: list[Ended] = []
    with capture_logs(processors=[structlog.contextvars.merge_contextvars, add_ids]) as lines:
        async with harness.worker(traces=TraceRecorder(export=exported.append, sample_rate=1.0)):
            await harness.wait_until_finished()

    jobs = {each.job_id: each for each in exported if isinstance(each, EndedJob)}
    own = jobs[str(job_id)]
    assert (own.trace.trace_id, own.trace.parent_id, own.trace.sampled) == ("a" * 32, enqueued[6], True)
    assert (own.name, own.queue, own.attempt, own.outcome) == ("note", "default", 1, "done")
    other = jobs[str(without_request)].trace
    assert other.trace_id not in {"a" * 32, own.trace.trace_id}, "a job without a request starts a new trace"
    for event in ("inside", "job"):
        names = "request_id", "trace_id", "span_id"
        found = {str(line["job_id"]): [line.get(name) for name in names] for line in lines if line["event"] == event}
        assert found == {
            str(job_id): ["request-1", "a" * 32, own.trace.span_id],
            str(without_request): [None, other.trace_id, other.span_id],
        }


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_failed_attempt_is_exported_and_its_line_has_the_level_of_its_outcome(harness: JobsHarness) -> None:
    """Breaks when each attempt is logged as info: a dead job would not be found by its level."""
    await harness.enqueue(sample_jobs.fail, until_attempt=2)
    await harness.enqueue(sample_jobs.fail_permanently)
    exported: list[Ended] = []
    with capture_logs() as lines:
        async with harness.worker(traces=TraceRecorder(export=exported.append)):
            assert sorted(await harness.wait_until_finished()) == ["dead", "done"]
    levels = sorted((line["job"], line["outcome"], line["log_level"]) for line in lines if line["event"] == "job")
    assert levels == [
        ("fail", "done", "info"),
        ("fail", "failed", "warning"),
        ("fail_permanently", "dead", "error"),
    ]
    assert sorted((each.name, each.trace.error) for each in exported if isinstance(each, EndedJob)) == [
        ("fail", "ValueError"),
        ("fail_permanently", "PermanentFailure"),
    ]
