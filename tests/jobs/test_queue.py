"""The queue and its workers, on each database and with each notifier."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database._instrumentation import totals
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import JobContext, JobNotDead, JobState, JobUnfinished, job
from restwell.jobs import _worker as worker
from restwell.jobs._notifier import base


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


async def test_a_commit_wakes_a_worker_immediately(harness: JobsHarness) -> None:
    """Breaks without notifications: a worker polls once a second."""
    async with harness.worker([harness.database]):
        await harness.enqueue(sample_jobs.note, text="warm")
        await harness.wait_until_finished()
        waits = []
        for number in range(5):
            await asyncio.sleep(0.1)
            job_id = await harness.enqueue(sample_jobs.note, text=str(number))
            await harness.wait_until_finished()
            found = await harness.jobs.get(job_id)
            assert found.started_at is not None
            waits.append(found.started_at - found.enqueued_at)
    assert sorted(waits)[2] < timedelta(seconds=0.25)


async def test_a_worker_with_full_slots_notifies_another_worker(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without ``notify_another``: one of four workers is woken, and the others keep waiting."""
    monkeypatch.setattr(base, "MAX_NOTIFICATIONS", 1)
    monkeypatch.setattr(worker, "POLL_SECONDS", 60.0)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(harness.worker([harness.database], concurrency=1, drain_seconds=0))
        await asyncio.sleep(0.5)  # all workers are waiting now
        async with harness.database.transaction() as tx:
            await harness.jobs.enqueue_many(tx, sample_jobs.sleep, [{"seconds": 60.0}] * 4)
        await harness.wait_for_states(lambda states: states == ["running"] * 4, 10)


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


async def test_an_unregistered_job_is_refused(harness: JobsHarness) -> None:
    @job()
    async def unknown(context: JobContext) -> None: ...

    with pytest.raises(TypeError, match=r"add it to jobs=\[\.\.\.\]"):
        await harness.enqueue(unknown)


async def test_enqueue_many_adds_its_jobs_in_one_round_trip(harness: JobsHarness) -> None:
    async with harness.database.transaction() as tx:
        ids = await harness.jobs.enqueue_many(tx, sample_jobs.note, [{"text": f"{n:03}"} for n in range(250)])
    async with harness.worker([harness.database], concurrency=20):
        assert await harness.wait_until_finished() == ["done"] * 250
    assert len(set(ids)) == 250
    assert await harness.notes() == [f"{n:03}" for n in range(250)]


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


async def test_a_worker_claims_jobs_of_its_queues_only(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.note.with_options(queue="images"), text="image")
    await harness.enqueue(sample_jobs.note, text="default")
    async with harness.worker([harness.database]):
        await harness.wait_for_states(lambda states: sorted(states) == ["done", "ready"])
        await asyncio.sleep(0.3)
    assert await harness.notes() == ["default"]


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


async def test_a_cancelled_job_never_runs(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.note, text="never")
    assert await harness.jobs.cancel(job_id)
    assert not await harness.jobs.cancel(job_id)
    await harness.enqueue(sample_jobs.note, text="other")
    async with harness.worker([harness.database]):
        assert sorted(await harness.wait_until_finished()) == ["cancelled", "done"]
    assert await harness.notes() == ["other"]


async def test_cancelling_a_running_job_cancels_its_task(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=30)
    async with harness.worker([harness.database], heartbeat_seconds=0.1) as worker:
        await harness.wait_for_states(lambda states: states == ["running"])
        assert await harness.jobs.cancel(job_id)
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
    assert await harness.states() == ["cancelled"]
