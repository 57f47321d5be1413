"""What a job gets from its context."""

import asyncio

import httpx
import pytest
from sqlalchemy import text

import sample_jobs
from jobs_harness import JobsHarness, add_effect
from restwell.database import Database, query
from restwell.jobs import JobContext, job

expire_leases = query(
    "harness.expire_leases", text("UPDATE jobs SET lease_until = enqueued_at WHERE state = 'running'")
)


async def test_an_expired_lease_gives_the_job_to_another_worker_and_the_first_cannot_complete_it(
    harness: JobsHarness,
) -> None:
    """Breaks without the fencing token: the first attempt is completed too, and its effect is duplicated."""
    job_id = await harness.enqueue(sample_jobs.note_once, text="once")
    entered, go = asyncio.Event(), asyncio.Event()

    @job(name="note_once")
    async def slow(context: JobContext, text: str) -> None:
        entered.set()
        await go.wait()
        async with context.completion() as tx:
            await tx.run(add_effect, job_id=context.job_id, note=text)

    harness.known = [slow]
    async with harness.worker(heartbeat_seconds=60, concurrency=1):  # no heartbeat during the test
        await entered.wait()
        await harness.database.run(expire_leases)  # expires the lease
        harness.known = [sample_jobs.note_once]
        async with harness.worker():
            assert await harness.wait_until_finished() == ["done"]
        go.set()
    found = await harness.jobs.get(job_id)
    assert (found.state, found.attempts) == ("done", 2)
    assert await harness.notes() == ["once"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error.startswith("lease expired: ")


@pytest.mark.slow
async def test_a_job_knows_its_id_its_attempt_and_its_services(harness: JobsHarness) -> None:
    seen: list[object] = []

    @job(name="note", backoff=sample_jobs.SOON)
    async def note(context: JobContext, text: str) -> None:
        assert text == "a"
        seen.append((context.job_id, context.attempt, context.is_last_attempt, context.get(Database)))
        context.get(httpx.AsyncClient)

    harness.known = [note]
    job_id = await harness.enqueue(sample_jobs.note.with_options(max_attempts=2), text="a")
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished() == ["dead"]
    assert seen == [(job_id, 1, False, harness.database), (job_id, 2, True, harness.database)]
    (failure, _) = await harness.jobs.failures(job_id)
    assert failure.error == "LookupError: job note needs a AsyncClient; add it to the services of a Feature"
