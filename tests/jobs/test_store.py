"""Claims of jobs: by one worker each, in their order, and only while the lease lasts."""

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.jobs import JobContext, job
from restwell.jobs._store import LEASE_EXPIRED, JobStore


@pytest.mark.slow
async def test_several_workers_share_the_jobs_and_run_none_twice(harness: JobsHarness) -> None:
    """Breaks without SKIP LOCKED, and if a claim does not require the state ``ready``."""
    async with harness.database.transaction() as tx:
        await harness.jobs.enqueue_many(tx, sample_jobs.note, [{"text": f"{n:03}"} for n in range(300)])
    services = [harness.database]
    async with harness.worker(services) as one, harness.worker(services) as two, harness.worker(services) as three:
        await harness.wait_until_finished()
    assert await harness.notes() == [f"{n:03}" for n in range(300)]
    assert one.completed_count + two.completed_count + three.completed_count == 300


async def test_jobs_run_by_queue_then_priority_then_age(harness: JobsHarness) -> None:
    order = []

    @job(name="note")
    async def note(_context: JobContext, text: str) -> None:
        order.append(text)

    harness.known = [note]
    for text_, options in {
        "4th": {"priority": -1},
        "2nd": {},
        "1st": {"priority": 5},
        "3rd": {},
        "before": {"queue": "mail", "priority": -9},
    }.items():
        await harness.enqueue(sample_jobs.note.with_options(**options), text=text_)  # type: ignore[arg-type]
    async with harness.worker(queues=("mail", "default"), concurrency=1):
        await harness.wait_until_finished()
    assert order == ["before", "1st", "2nd", "3rd", "4th"]


async def test_only_the_newest_claim_of_a_job_can_change_it(harness: JobsHarness) -> None:
    """Breaks without the fencing token in any of the statements: a worker that lost its lease would change the job."""
    await harness.enqueue(sample_jobs.note, text="a")
    store = JobStore(harness.database)
    (lost,) = await store.claim(["default"], 5, "first")
    assert await store.claim(["default"], 5, "second") == []
    await store.expire_leases("first")
    assert [one.state for one in await store.expire()] == ["ready"]
    (claimed,) = await store.claim(["default"], 5, "second")
    assert (claimed.attempts, claimed.isolated) == (2, True), "a worker may have died with it"
    assert await store.extend({lost.id: lost.fencing_token}) == set()
    assert await store.complete([(lost, None)]) == set()
    assert await store.release([lost]) == set()
    assert await store.park([(lost, "note")]) == set()
    assert await store.fail(lost, "error", "", 0, permanent=False) is None
    async with harness.database.transaction() as tx:
        assert not await store.complete_in(tx, lost)
    assert await store.extend({claimed.id: claimed.fencing_token}) == {claimed.id}
    assert await store.complete([(claimed, "1")]) == {claimed.id}
    assert await harness.states() == ["done"]


async def test_a_lease_that_expires_after_the_last_attempt_ends_the_job(harness: JobsHarness) -> None:
    """Breaks if the attempts are not compared: a job that kills its worker would be tried for ever."""
    job_id = await harness.enqueue(sample_jobs.note.with_options(max_attempts=1), text="a")
    store = JobStore(harness.database, lease_seconds=-1.0)
    await store.claim(["default"], 1, "worker")
    assert [(one.state, one.worker) for one in await store.expire()] == [("dead", "worker")]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == LEASE_EXPIRED
