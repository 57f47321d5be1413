"""Changes of many jobs: all that match and no other, also if an attempt ends in the middle."""

import asyncio
from uuid import UUID

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from many_jobs import add_jobs
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import (
    BulkAction,
    BulkChange,
    JobFilter,
    JobOperations,
    JobState,
    LeaseLost,
)
from restwell.jobs._bulk_changes import BulkChanges, change_jobs

DEAD = JobFilter(state=JobState.DEAD)


@pytest.fixture
def changes(harness: JobsHarness) -> BulkChanges:
    harness.known = [*harness.known, change_jobs]
    harness.jobs.register([change_jobs])
    return BulkChanges(harness.database, harness.jobs)


@pytest.fixture
def operations(harness: JobsHarness, changes: BulkChanges) -> JobOperations:
    return JobOperations(harness.database, harness.jobs, changes)


async def run_worker(harness: JobsHarness, operations: JobOperations, changes: BulkChanges, job_id: UUID) -> BulkChange:
    """Serve only the queue of bulk changes, until this one is done."""
    async with harness.worker([changes], queues=("restwell",)), asyncio.timeout(60):
        while (change := await operations.bulk_change(job_id)).job_state != "done":
            await asyncio.sleep(0.02)
    return change


@pytest.mark.slow
async def test_all_dead_jobs_that_match_are_retried_and_no_other(
    harness: JobsHarness, operations: JobOperations, changes: BulkChanges
) -> None:
    """Breaks when the filter is not applied, and when jobs that die after the request are retried too."""
    await add_jobs(harness.database, "dead", 2_500)
    await add_jobs(harness.database, "dead", 20, name="send", queue="mail", first=5_000)
    await add_jobs(harness.database, "done", 10)
    job_id = await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.DEAD, name="note"))
    await asyncio.sleep(0.01)
    await add_jobs(harness.database, "dead", 3, first=9_000)
    change = await run_worker(harness, operations, changes, job_id)
    assert (change.examined, change.changed) == (2_520, 2_500)
    assert [each.job_id for each in await operations.bulk_changes()] == [job_id]
    states = await harness.states()
    assert {state: states.count(state) for state in set(states)} == {"ready": 2_500, "dead": 23, "done": 11}
    retried = (await operations.list_jobs(JobFilter(state=JobState.READY), 1)).items[0]
    assert (retried.attempts, retried.finished_at, retried.name) == (0, None, "note")


async def test_a_change_continues_where_an_earlier_attempt_ended(
    harness: JobsHarness, operations: JobOperations, changes: BulkChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the position is not stored in the transaction of the batch."""
    await add_jobs(harness.database, "dead", 2_500)
    job_id = await operations.change_all(BulkAction.DISCARD, DEAD)

    def fail(_queues: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(harness.jobs, "notify", fail)
        with pytest.raises(ConnectionError):
            await changes.run(job_id)
    half = await changes.get(job_id)
    assert (half.examined, half.changed) == (1_000, 1_000)
    change = await run_worker(harness, operations, changes, job_id)
    assert (change.examined, change.changed) == (2_500, 2_500)
    assert await harness.states() == ["done"]


async def test_of_two_attempts_at_the_same_time_each_batch_is_changed_and_counted_once(
    harness: JobsHarness, operations: JobOperations, changes: BulkChanges
) -> None:
    """Breaks when the new position is stored whatever the old one is."""
    await add_jobs(harness.database, "dead", 2_500)
    job_id = await operations.change_all(BulkAction.RETRY, DEAD)
    results = await asyncio.gather(changes.run(job_id), changes.run(job_id), return_exceptions=True)
    assert [result for result in results if not isinstance(result, LeaseLost | None)] == []
    change = await changes.get(job_id)
    assert (change.examined, change.changed) == (2_500, 2_500)


async def test_unfinished_jobs_are_cancelled_but_not_the_job_that_does_it(
    harness: JobsHarness, operations: JobOperations, changes: BulkChanges
) -> None:
    """Breaks when the job of the change is not left out: it would cancel itself."""
    await add_jobs(harness.database, "running", 5)
    await add_jobs(harness.database, "scheduled", 5)
    running = await operations.change_all(BulkAction.CANCEL, JobFilter(state=JobState.RUNNING))
    assert (await run_worker(harness, operations, changes, running)).changed == 5
    scheduled = await operations.change_all(BulkAction.CANCEL, JobFilter(state=JobState.SCHEDULED, queue="default"))
    assert (await run_worker(harness, operations, changes, scheduled)).changed == 5
    assert sorted(await harness.states()) == ["cancelled"] * 10 + ["done"] * 2


async def test_a_job_whose_unique_key_is_taken_is_not_retried(
    harness: JobsHarness, operations: JobOperations, changes: BulkChanges
) -> None:
    """Breaks without the check of the key, and without one of each key in a batch: the whole batch would fail."""
    keyed = sample_jobs.note.with_options(unique_key="key")
    for _ in range(3):
        await harness.jobs.cancel(await harness.enqueue(keyed, text="a"))
    first = await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.CANCELLED))
    change = await run_worker(harness, operations, changes, first)
    assert (change.examined, change.changed) == (3, 1)
    second = await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.CANCELLED))
    change = await run_worker(harness, operations, changes, second)
    assert (change.examined, change.changed) == (2, 0)


async def test_an_unknown_change_is_not_found(changes: BulkChanges) -> None:
    with pytest.raises(NotFound):
        await changes.get(new_id())
