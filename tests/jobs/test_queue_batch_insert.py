"""Concurrent inserts of single jobs share one statement."""

import asyncio

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database._instrumentation import totals


@pytest.mark.slow
async def test_jobs_enqueued_without_a_transaction_are_inserted_in_batches(harness: JobsHarness) -> None:
    before = totals()["jobs.insert"].executions if "jobs.insert" in totals() else 0
    ids = await asyncio.gather(
        *(harness.jobs.enqueue(harness.database, sample_jobs.note, text=f"{n:03}") for n in range(100))
    )
    assert totals()["jobs.insert"].executions - before < 10
    keyed = sample_jobs.note.with_options(unique_key="one")
    assert len({await harness.jobs.enqueue(harness.database, keyed, text="100") for _ in range(3)}) == 1
    await harness.jobs.enqueue(harness.database, sample_jobs.note.with_options(delay_seconds=0.1), text="101")
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished() == ["done"] * 102
    assert len(set(ids)) == 100
    assert await harness.notes() == [f"{n:03}" for n in range(102)]


async def test_a_failed_batch_insert_raises_in_every_caller(harness: JobsHarness) -> None:
    async with harness.database.transaction() as tx:
        await tx.run_script("ALTER TABLE jobs RENAME TO gone")
    done = await asyncio.gather(
        *(harness.jobs.enqueue(harness.database, sample_jobs.note, text="x") for _ in range(3)), return_exceptions=True
    )
    assert len(done) == 3
    assert all(isinstance(one, Exception) for one in done)
    async with harness.database.transaction() as tx:
        await tx.run_script("ALTER TABLE gone RENAME TO jobs")
    await harness.jobs.enqueue(harness.database, sample_jobs.note, text="x")
    assert await harness.states() == ["ready"]
