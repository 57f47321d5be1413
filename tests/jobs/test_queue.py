"""The queue and its workers, on each database and with each notifier."""

import asyncio
from contextvars import Context
from datetime import timedelta
from typing import Any

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database import open_database
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import JobContext, JobNotDead, Jobs, JobState, JobUnfinished, job
from restwell.jobs._notifier import open_notifier


@pytest.mark.slow
async def test_a_job_runs_after_its_transaction_has_committed(harness: JobsHarness) -> None:
    async with harness.worker([harness.database]):
        async with harness.database.transaction() as tx:
            job_id = await harness.jobs.enqueue(tx, sample_jobs.note, text="hello")
            await asyncio.sleep(0.2)
            assert await harness.notes() == []
        await harness.wait_until_finished()
    found = await harness.jobs.get(job_id)
    assert (found.state, found.result, found.attempts) == ("done", '"hello"', 1)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.enqueued_at <= found.started_at <= found.finished_at
    assert await harness.notes() == ["hello"]


async def test_a_job_of_a_rolled_back_transaction_never_runs(harness: JobsHarness) -> None:
    """Breaks if the job is inserted in a separate transaction."""
    async with harness.worker([harness.database]):
        with pytest.raises(ZeroDivisionError):
            async with harness.database.transaction() as tx:
                await harness.jobs.enqueue(tx, sample_jobs.note, text="ghost")
                raise ZeroDivisionError
        await harness.enqueue(sample_jobs.note, text="real")
        assert await harness.wait_until_finished() == ["done"]
    assert await harness.notes() == ["real"]


async def test_a_job_without_a_transaction_belongs_to_the_ambient_one(harness: JobsHarness) -> None:
    """Breaks when it is inserted with the next batch: that joins the transaction, with the jobs of other callers."""
    jobs, keyed = harness.jobs, sample_jobs.note.with_options(unique_key="one")
    with pytest.raises(ZeroDivisionError):
        async with harness.database.transaction(ambient=True):
            await jobs.enqueue(harness.database, keyed, text="ghost")
            own = asyncio.create_task(jobs.enqueue(harness.database, sample_jobs.note, text="ghost"))
            of_another = asyncio.create_task(
                jobs.enqueue(harness.database, sample_jobs.note, text="real"), context=Context()
            )
            await own
            raise ZeroDivisionError
    await of_another
    assert await harness.states() == ["ready"]


async def test_arguments_are_validated_when_the_job_is_enqueued(harness: JobsHarness) -> None:
    wrong: list[dict[str, Any]] = [
        {"number": "one", "owner": new_id()},
        {"number": 1},
        {"number": 1, "owner": new_id(), "other": 2},
        {"number": 1, "owner": "me"},
    ]
    for arguments in wrong:
        with pytest.raises(TypeError, match="job typed"):
            await harness.enqueue(sample_jobs.typed, **arguments)
    with pytest.raises(TypeError, match="65,536 at most; store them"):
        await harness.enqueue(sample_jobs.note, text="x" * 70_000)
    assert await harness.states() == []


async def test_an_unregistered_job_is_refused(harness: JobsHarness) -> None:
    @job()
    async def unknown(context: JobContext) -> None: ...

    with pytest.raises(TypeError, match=r"add it to jobs=\[\.\.\.\]"):
        await harness.enqueue(unknown)


@pytest.mark.slow
async def test_enqueue_many_adds_its_jobs_in_one_round_trip(harness: JobsHarness) -> None:
    async with harness.database.transaction() as tx:
        ids = await harness.jobs.enqueue_many(tx, sample_jobs.note, [{"text": f"{n:03}"} for n in range(250)])
    async with harness.worker([harness.database], concurrency=20):
        assert await harness.wait_until_finished() == ["done"] * 250
    assert len(set(ids)) == 250
    assert await harness.notes() == [f"{n:03}" for n in range(250)]


@pytest.mark.slow
async def test_a_delayed_job_does_not_run_before_its_delay(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.note.with_options(delay_seconds=0.7), text="later")
    async with harness.worker([harness.database]):
        await harness.wait_until_finished()
    found = await harness.jobs.get(job_id)
    assert found.started_at is not None
    assert found.started_at - found.enqueued_at >= timedelta(seconds=0.7)


async def test_a_unique_key_allows_one_unfinished_job(harness: JobsHarness) -> None:
    keyed = sample_jobs.note.with_options(unique_key="report:2026")
    first = await harness.enqueue(keyed, text="first")
    assert await harness.enqueue(keyed, text="second") == first
    other = await harness.enqueue(keyed.with_options(unique_key="report:2027"), text="other")
    async with harness.worker([harness.database]):
        await harness.wait_until_finished()
        assert await harness.enqueue(keyed, text="third") not in {first, other}
        await harness.wait_until_finished()
    assert await harness.notes() == ["first", "other", "third"]


async def test_concurrent_transactions_with_one_unique_key_enqueue_one_job(harness: JobsHarness) -> None:
    keyed = sample_jobs.note.with_options(unique_key="same")
    ids = await asyncio.gather(*(harness.enqueue(keyed, text=str(n)) for n in range(8)))
    assert len(set(ids)) == 1
    assert await harness.states() == ["ready"]


@pytest.mark.slow
async def test_a_job_is_dead_after_its_last_attempt_and_retry_resets_the_attempts(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.fail)
    async with harness.worker():
        assert await harness.wait_until_finished() == ["dead"]
        assert (await harness.jobs.get(job_id)).attempts == 3
        await harness.jobs.retry(job_id)
        with pytest.raises(JobUnfinished):
            await harness.jobs.discard(job_id)
        assert await harness.wait_until_finished() == ["dead"]
    assert [one.attempt for one in await harness.jobs.failures(job_id)] == [3, 2, 1, 3, 2, 1]
    assert [one.id for one in await harness.jobs.list_jobs(JobState.DEAD, 10)] == [job_id]
    await harness.jobs.discard(job_id)
    assert await harness.jobs.failures(job_id) == []
    for gone in (harness.jobs.get(job_id), harness.jobs.retry(job_id), harness.jobs.discard(job_id)):
        with pytest.raises(NotFound):
            await gone


async def test_only_a_dead_or_cancelled_job_can_be_retried(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.note, text="once")
    with pytest.raises(JobNotDead):
        await harness.jobs.retry(job_id)
    keyed = sample_jobs.fail.with_options(unique_key="key", max_attempts=1)
    dead = await harness.enqueue(keyed)
    async with harness.worker([harness.database]):
        await harness.wait_until_finished()
    await harness.enqueue(keyed)
    with pytest.raises(JobNotDead, match="same unique key"):
        await harness.jobs.retry(dead)


async def test_a_cancelled_job_never_runs(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.note, text="never")
    assert await harness.jobs.cancel(job_id)
    assert not await harness.jobs.cancel(job_id)
    await harness.enqueue(sample_jobs.note, text="other")
    async with harness.worker([harness.database]):
        assert sorted(await harness.wait_until_finished()) == ["cancelled", "done"]
    assert await harness.notes() == ["other"]


async def test_registering_two_jobs_with_one_name_raises() -> None:
    @job(name="same")
    async def one(context: JobContext) -> None: ...

    @job(name="same")
    async def two(context: JobContext) -> None: ...

    database = open_database("sqlite:///unused.db")
    jobs = Jobs(database, open_notifier(database, "", None, "name"))
    jobs.register([one])
    with pytest.raises(TypeError, match="two jobs are named same"):
        jobs.register([two])
