"""What the queue and its workers promise, on every database there is."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import sample_jobs
from jobs_rig import Rig
from restwell.database.executions import totals
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import JobNotDead, JobState, JobUnfinished, Run, job, worker
from restwell.jobs.dispatch import base


async def test_a_job_runs_after_its_transaction_has_committed(rig: Rig) -> None:
    async with rig.worker([rig.database]):
        async with rig.database.transaction() as tx:
            job_id = await rig.jobs.enqueue(tx, sample_jobs.note, text="hello")
            await asyncio.sleep(0.2)
            assert await rig.notes() == []
        await rig.settled()
    found = await rig.jobs.get(job_id)
    assert (found.state, found.result, found.attempts) == ("done", '"hello"', 1)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.enqueued_at <= found.started_at <= found.finished_at
    assert await rig.notes() == ["hello"]


async def test_a_job_of_a_transaction_that_is_rolled_back_never_runs(rig: Rig) -> None:
    """Breaks when the job is added in a transaction of its own."""
    async with rig.worker([rig.database]):
        with pytest.raises(ZeroDivisionError):
            async with rig.database.transaction() as tx:
                await rig.jobs.enqueue(tx, sample_jobs.note, text="ghost")
                raise ZeroDivisionError
        await rig.enqueue(sample_jobs.note, text="real")
        assert await rig.settled() == ["done"]
    assert await rig.notes() == ["real"]


async def test_a_commit_wakes_a_worker_at_once(rig: Rig) -> None:
    """Breaks when nothing is announced: a worker looks by itself once a second."""
    async with rig.worker([rig.database]):
        await rig.enqueue(sample_jobs.note, text="warm")
        await rig.settled()
        waits = []
        for number in range(5):
            await asyncio.sleep(0.1)
            job_id = await rig.enqueue(sample_jobs.note, text=str(number))
            await rig.settled()
            found = await rig.jobs.get(job_id)
            assert found.started_at is not None
            waits.append(found.started_at - found.enqueued_at)
    assert sorted(waits)[2] < timedelta(seconds=0.25)


async def test_a_worker_that_cannot_take_every_job_wakes_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without ``pass_on``: of four workers one is woken, and the others go on waiting."""
    monkeypatch.setattr(base, "AT_ONCE", 1)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 60.0)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(rig.worker([rig.database], concurrency=1, drain_seconds=0))
        await asyncio.sleep(0.5)  # all of them wait now
        async with rig.database.transaction() as tx:
            await rig.jobs.enqueue_many(tx, sample_jobs.sleep, [{"seconds": 60.0}] * 4)
        await rig.until(lambda states: states == ["running"] * 4, 10)


async def test_arguments_are_checked_when_the_job_is_enqueued(rig: Rig) -> None:
    wrong: list[dict[str, Any]] = [
        {"number": "one", "owner": new_id()},
        {"number": 1},
        {"number": 1, "owner": new_id(), "other": 2},
        {"number": 1, "owner": "me"},
    ]
    for arguments in wrong:
        with pytest.raises(TypeError, match="job typed"):
            await rig.enqueue(sample_jobs.typed, **arguments)
    with pytest.raises(TypeError, match="65,536 at most; store it"):
        await rig.enqueue(sample_jobs.note, text="x" * 70_000)
    assert await rig.states() == []


async def test_arguments_arrive_with_their_types(rig: Rig) -> None:
    got: list[object] = []

    @job(name="typed")
    async def typed(_run: Run, number: int, owner: UUID, at: datetime | None = None) -> None:
        got.extend([number, owner, at])

    rig.known = [typed]
    owner, at = new_id(), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    async with rig.database.transaction() as tx:
        await rig.jobs.enqueue(tx, sample_jobs.typed, 7, owner, at=at)
    async with rig.worker():
        await rig.settled()
    assert got == [7, owner, at]


async def test_an_unregistered_job_is_refused(rig: Rig) -> None:
    @job()
    async def unknown(run: Run) -> None: ...

    with pytest.raises(TypeError, match=r"add it to jobs=\[\.\.\.\]"):
        await rig.enqueue(unknown)


async def test_enqueue_many_adds_its_jobs_in_one_round_trip(rig: Rig) -> None:
    async with rig.database.transaction() as tx:
        ids = await rig.jobs.enqueue_many(tx, sample_jobs.note, [{"text": f"{n:03}"} for n in range(250)])
    async with rig.worker([rig.database], concurrency=20):
        assert await rig.settled() == ["done"] * 250
    assert len(set(ids)) == 250
    assert await rig.notes() == [f"{n:03}" for n in range(250)]


async def test_jobs_enqueued_without_a_transaction_are_inserted_in_batches(rig: Rig) -> None:
    before = totals()["jobs.insert"].executions if "jobs.insert" in totals() else 0
    ids = await asyncio.gather(*(rig.jobs.enqueue(rig.database, sample_jobs.note, text=f"{n:03}") for n in range(100)))
    assert totals()["jobs.insert"].executions - before < 10
    keyed = sample_jobs.note.using(unique_key="one")
    assert len({await rig.jobs.enqueue(rig.database, keyed, text="100") for _ in range(3)}) == 1
    await rig.jobs.enqueue(rig.database, sample_jobs.note.using(delay_seconds=0.1), text="101")
    async with rig.worker([rig.database]):
        assert await rig.settled() == ["done"] * 102
    assert len(set(ids)) == 100
    assert await rig.notes() == [f"{n:03}" for n in range(102)]


async def test_a_failed_insert_is_raised_where_the_job_was_enqueued(rig: Rig) -> None:
    async with rig.database.transaction() as tx:
        await tx.run_script("ALTER TABLE jobs RENAME TO gone")
    done = await asyncio.gather(
        *(rig.jobs.enqueue(rig.database, sample_jobs.note, text="x") for _ in range(3)), return_exceptions=True
    )
    assert len(done) == 3
    assert all(isinstance(one, Exception) for one in done)
    async with rig.database.transaction() as tx:
        await tx.run_script("ALTER TABLE gone RENAME TO jobs")
    await rig.jobs.enqueue(rig.database, sample_jobs.note, text="x")
    assert await rig.states() == ["ready"]


async def test_several_workers_share_the_jobs_and_run_none_twice(rig: Rig) -> None:
    """Breaks without SKIP LOCKED, and when a claim does not say that the job must be ready."""
    async with rig.database.transaction() as tx:
        await rig.jobs.enqueue_many(tx, sample_jobs.note, [{"text": f"{n:03}"} for n in range(300)])
    services = [rig.database]
    async with rig.worker(services) as one, rig.worker(services) as two, rig.worker(services) as three:
        await rig.settled()
    assert await rig.notes() == [f"{n:03}" for n in range(300)]
    assert one.done + two.done + three.done == 300


async def test_jobs_run_by_queue_then_priority_then_age(rig: Rig) -> None:
    order = []

    @job(name="note")
    async def note(_run: Run, text: str) -> None:
        order.append(text)

    rig.known = [note]
    for text_, options in {
        "4th": {"priority": -1},
        "2nd": {},
        "1st": {"priority": 5},
        "3rd": {},
        "before": {"queue": "mail", "priority": -9},
    }.items():
        await rig.enqueue(sample_jobs.note.using(**options), text=text_)  # type: ignore[arg-type]  # of several kinds
    async with rig.worker(queues=("mail", "default"), concurrency=1):
        await rig.settled()
    assert order == ["before", "1st", "2nd", "3rd", "4th"]


async def test_a_worker_takes_from_its_queues_only(rig: Rig) -> None:
    await rig.enqueue(sample_jobs.note.using(queue="images"), text="image")
    await rig.enqueue(sample_jobs.note, text="default")
    async with rig.worker([rig.database]):
        await rig.until(lambda states: sorted(states) == ["done", "ready"])
        await asyncio.sleep(0.3)
    assert await rig.notes() == ["default"]


async def test_a_delayed_job_waits_for_its_time(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.note.using(delay_seconds=0.7), text="later")
    async with rig.worker([rig.database]):
        await rig.settled()
    found = await rig.jobs.get(job_id)
    assert found.started_at is not None
    assert found.started_at - found.enqueued_at >= timedelta(seconds=0.7)


async def test_a_unique_key_allows_one_job_until_it_has_ended(rig: Rig) -> None:
    keyed = sample_jobs.note.using(unique_key="report:2026")
    first = await rig.enqueue(keyed, text="first")
    assert await rig.enqueue(keyed, text="second") == first
    other = await rig.enqueue(keyed.using(unique_key="report:2027"), text="other")
    async with rig.worker([rig.database]):
        await rig.settled()
        assert await rig.enqueue(keyed, text="third") not in {first, other}
        await rig.settled()
    assert await rig.notes() == ["first", "other", "third"]


async def test_concurrent_transactions_with_one_unique_key_enqueue_one_job(rig: Rig) -> None:
    keyed = sample_jobs.note.using(unique_key="same")
    ids = await asyncio.gather(*(rig.enqueue(keyed, text=str(n)) for n in range(8)))
    assert len(set(ids)) == 1
    assert await rig.states() == ["ready"]


async def test_a_failed_job_is_retried_and_every_error_is_stored(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.fail, until_attempt=3)
    async with rig.worker():
        assert await rig.settled() == ["done"]
    found = await rig.jobs.get(job_id)
    assert (found.result, found.attempts) == ("3", 3)
    failures = await rig.jobs.failures(job_id)
    assert [(one.attempt, one.error) for one in failures] == [
        (2, "ValueError: no luck in attempt 2"),
        (1, "ValueError: no luck in attempt 1"),
    ]
    assert "sample_jobs.py" in failures[0].traceback


async def test_a_job_is_dead_after_its_last_attempt_and_retry_gives_it_all_attempts_again(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.fail)
    async with rig.worker():
        assert await rig.settled() == ["dead"]
        assert (await rig.jobs.get(job_id)).attempts == 3
        await rig.jobs.retry(job_id)
        with pytest.raises(JobUnfinished):
            await rig.jobs.discard(job_id)
        assert await rig.settled() == ["dead"]
    assert [one.attempt for one in await rig.jobs.failures(job_id)] == [3, 2, 1, 3, 2, 1]
    assert [one.id for one in await rig.jobs.list_jobs(JobState.DEAD, 10)] == [job_id]
    await rig.jobs.discard(job_id)
    assert await rig.jobs.failures(job_id) == []
    for gone in (rig.jobs.get(job_id), rig.jobs.retry(job_id), rig.jobs.discard(job_id)):
        with pytest.raises(NotFound):
            await gone


async def test_only_a_dead_or_cancelled_job_can_be_retried(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.note, text="once")
    with pytest.raises(JobNotDead):
        await rig.jobs.retry(job_id)
    keyed = sample_jobs.fail.using(unique_key="key", max_attempts=1)
    dead = await rig.enqueue(keyed)
    async with rig.worker([rig.database]):
        await rig.settled()
    await rig.enqueue(keyed)
    with pytest.raises(JobNotDead, match="same unique key"):
        await rig.jobs.retry(dead)


async def test_a_job_that_gives_up_is_dead_at_once(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.give_up)
    async with rig.worker():
        assert await rig.settled() == ["dead"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error == "GiveUp: the address does not exist"


@pytest.mark.parametrize("name", ["hang", "spin"])
async def test_a_job_beyond_its_timeout_is_ended(rig: Rig, name: str) -> None:
    """The job ``spin`` never yields: its process is killed."""
    job_id = await rig.enqueue(getattr(sample_jobs, name))
    async with rig.worker():
        assert await rig.settled() == ["dead"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error.startswith("TimeoutError: not done within")


async def test_a_worker_survives_a_job_that_kills_its_process_or_exits(rig: Rig) -> None:
    died, left = await rig.enqueue(sample_jobs.die), await rig.enqueue(sample_jobs.leave)
    squared, halved = (
        await rig.enqueue(sample_jobs.square, number=12),
        await rig.enqueue(sample_jobs.halve, numbers=[3]),
    )
    async with rig.worker():
        assert sorted(await rig.settled()) == ["dead", "dead", "done", "done"]
    assert [one.error for one in await rig.jobs.failures(died)] == ["ProcessDied: the process ended with 7"] * 2
    assert [one.error for one in await rig.jobs.failures(left)] == ["SystemExit: 3"] * 2
    assert (await rig.jobs.get(squared)).result == "144"
    assert (await rig.jobs.get(halved)).result == "[1.5]"


async def test_an_error_with_any_text_is_stored(rig: Rig) -> None:
    """Breaks when the text is stored as it is: PostgreSQL has no character zero, and UTF-8 no half of a pair."""
    job_id = await rig.enqueue(sample_jobs.curse)
    async with rig.worker():
        assert await rig.settled() == ["dead"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error == "ValueError: zero \\x00 and a half \\ud800 of a pair"


async def test_a_cancelled_job_never_runs(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.note, text="never")
    assert await rig.jobs.cancel(job_id)
    assert not await rig.jobs.cancel(job_id)
    await rig.enqueue(sample_jobs.note, text="other")
    async with rig.worker([rig.database]):
        assert sorted(await rig.settled()) == ["cancelled", "done"]
    assert await rig.notes() == ["other"]


async def test_a_job_that_is_cancelled_while_it_runs_is_told_to_stop(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.sleep, seconds=30)
    async with rig.worker([rig.database], beat_seconds=0.1) as worker:
        await rig.until(lambda states: states == ["running"])
        assert await rig.jobs.cancel(job_id)
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
    assert await rig.states() == ["cancelled"]
