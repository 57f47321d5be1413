"""What workers promise when leases end, loops block and databases go, on every database there is."""

import asyncio
import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

import sample_jobs
from jobs_rig import Rig, add_effect
from restwell.database import DatabaseUnavailable, query
from restwell.errors import NotFound
from restwell.jobs import JobStore, Run, backlog_metrics, job, queries, worker

started = query("rig.started", text("UPDATE jobs SET lease_until = enqueued_at WHERE state = 'running'"))


async def test_an_expired_lease_gives_the_job_to_another_worker_and_the_first_cannot_complete_it(rig: Rig) -> None:
    """Breaks without the fence: the first attempt's completion is accepted, and its effect is there twice."""
    job_id = await rig.enqueue(sample_jobs.note_once, text="once")
    entered, go = asyncio.Event(), asyncio.Event()

    @job(name="note_once")
    async def slow(run: Run, text: str) -> None:
        entered.set()
        await go.wait()
        async with run.completing() as tx:
            await tx.run(add_effect, job_id=run.job_id, note=text)

    rig.known = [slow]
    async with rig.worker(beat_seconds=60, concurrency=1):  # it never says that it is still at it
        await entered.wait()
        await rig.database.run(started)  # and its lease is over
        rig.known = [sample_jobs.note_once]
        async with rig.worker():
            assert await rig.settled() == ["done"]
        go.set()
    found = await rig.jobs.get(job_id)
    assert (found.state, found.attempts) == ("done", 2)
    assert await rig.notes() == ["once"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error.startswith("its worker died")


async def test_a_lost_lease_cancels_its_running_job(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.sleep, seconds=60)
    async with rig.worker([rig.database], beat_seconds=0.3, concurrency=1) as worker:
        await rig.until(lambda states: states == ["running"])
        async with rig.database.transaction() as tx:
            await tx.run_script("UPDATE jobs SET fence = fence + 1, worker = 'another'")
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
    assert (await rig.jobs.get(job_id)).state == "running"
    assert await rig.notes() == ["began in attempt 1"]


async def test_leases_are_extended_while_the_event_loop_is_blocked(rig: Rig) -> None:
    """Breaks when the heartbeat is a task of the worker's loop."""
    job_id = await rig.enqueue(sample_jobs.block, seconds=2.5)
    async with rig.worker(beat_seconds=0.2, lease_seconds=1.0), rig.worker():
        assert await rig.settled() == ["done"]
    assert (await rig.jobs.get(job_id)).attempts == 1


async def test_a_worker_that_is_told_to_stop_claims_no_job_and_finishes_its_own(rig: Rig) -> None:
    await rig.enqueue(sample_jobs.sleep, seconds=0.5)
    await rig.enqueue(sample_jobs.sleep, seconds=0.5)
    async with rig.worker([rig.database], concurrency=1) as worker:
        await rig.until(lambda states: "running" in states)
        worker.stop()
    assert sorted(await rig.states()) == ["done", "ready"]


async def test_a_job_beyond_the_drain_time_is_returned_and_its_attempt_does_not_count(rig: Rig) -> None:
    job_id = await rig.enqueue(sample_jobs.sleep, seconds=60)
    async with rig.worker([rig.database], drain_seconds=0.2):
        await rig.until(lambda states: states == ["running"])
    found = await rig.jobs.get(job_id)
    assert (found.state, found.attempts) == ("ready", 0)
    assert await rig.jobs.failures(job_id) == []


async def test_a_worker_stops_after_its_number_of_jobs_or_above_its_memory_limit(rig: Rig) -> None:
    for number in range(6):
        await rig.enqueue(sample_jobs.note, text=str(number))
    async with rig.worker([rig.database], concurrency=1, max_jobs=2) as worker:
        async with asyncio.timeout(10):
            await worker.stopping.wait()
    assert worker.done == 2
    async with rig.worker([rig.database], max_memory_bytes=1) as worker:
        async with asyncio.timeout(10):
            await worker.stopping.wait()


async def test_an_ended_job_is_deleted_after_its_retention(rig: Rig) -> None:
    done = await rig.enqueue(sample_jobs.note, text="done")
    dead = await rig.enqueue(sample_jobs.give_up)
    async with rig.worker([rig.database]):
        await rig.settled()
    async with rig.worker(keep_done_seconds=0, keep_dead_seconds=3_600):
        await rig.until(lambda states: states == ["dead"])
    with pytest.raises(NotFound):
        await rig.jobs.get(done)
    async with rig.worker(keep_dead_seconds=0):
        await rig.until(lambda states: states == [])
    assert await rig.jobs.failures(dead) == []


async def test_the_backlog_counts_waiting_jobs_by_queue(rig: Rig) -> None:
    await rig.enqueue(sample_jobs.note, text="a")
    await rig.enqueue(sample_jobs.note.using(delay_seconds=60), text="b")
    await rig.enqueue(sample_jobs.note.using(queue="mail"), text="c")
    backlog = await rig.jobs.backlog()
    (count, age) = backlog_metrics(backlog)
    assert {sample.labels["queue"]: sample.value < 60 for sample in age.samples} == {"default": True, "mail": True}
    assert sum(sample.value for sample in count.samples) == 3
    found = {(one.queue, one.state): one.count for one in backlog}
    assert found == {("default", "ready"): 1, ("default", "scheduled"): 1, ("mail", "ready"): 1}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_timeout_of_a_synchronous_job_begins_when_it_runs(rig: Rig) -> None:
    """Breaks when the timeout begins with the claim: the last of five jobs waits ten seconds for the one process."""
    nap = replace(sample_jobs.nap, timeout_seconds=8)
    rig.known = [nap]
    for _ in range(5):
        await rig.enqueue(nap, seconds=2.5)
    async with rig.worker(processes=1):
        assert await rig.settled(60) == ["done"] * 5


async def test_a_failed_maintenance_step_does_not_end_maintenance(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.enqueue(sample_jobs.note.using(delay_seconds=0.1), text="later")
    async with rig.worker([rig.database]) as worker:
        real, failed = worker._store.promote, asyncio.Event()

        async def promote() -> list[str]:
            if failed.is_set():
                return await real()
            failed.set()
            raise ZeroDivisionError

        monkeypatch.setattr(worker._store, "promote", promote)
        assert await rig.settled() == ["done"]
    assert failed.is_set()


async def test_an_unwritable_liveness_file_does_not_end_maintenance(rig: Rig, tmp_path: Path) -> None:
    """Breaks when the error of the file is not caught by itself: a scheduled job never becomes ready."""
    await rig.enqueue(sample_jobs.note.using(delay_seconds=0.1), text="later")
    async with rig.worker([rig.database], alive_file=tmp_path / "gone" / "alive"):
        assert await rig.settled() == ["done"]


async def test_each_tick_of_a_cron_makes_one_job_beside_several_schedulers(rig: Rig) -> None:
    """Breaks when the tick is taken without looking at what another has taken."""
    rig.known = [sample_jobs.every_second]
    async with rig.worker([rig.database]), rig.worker([rig.database]), rig.worker([rig.database]):
        async with asyncio.timeout(20):
            while len(await rig.notes()) < 4:
                await asyncio.sleep(0.1)
    ticks = [datetime.fromisoformat(note) for note in await rig.notes()]
    assert [after - before for before, after in pairwise(ticks)] == [timedelta(seconds=1)] * (len(ticks) - 1)


async def test_a_tick_stored_in_the_future_does_not_stop_its_job(rig: Rig) -> None:
    """Seen to fail: the job did not run until that time, here ten days away, and no log line said so."""
    rig.known = [sample_jobs.every_second]
    later = await JobStore(rig.database).now() + timedelta(days=10)
    await rig.database.run(queries.first_tick, name="every_second", tick=later)
    with capture_logs() as logs:
        async with rig.worker([rig.database]):
            async with asyncio.timeout(20):
                while not await rig.notes():
                    await asyncio.sleep(0.1)
    assert [line["job"] for line in logs if line["event"] == "cron_tick_in_the_future"] == ["every_second"]


async def test_every_due_job_becomes_ready_without_a_pause(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: a thousand jobs a second became ready, with pauses between them. Expired leases and parked jobs are handled alike."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 60.0)
    numbers = [{"text": str(n)} for n in range(2_500)]
    async with rig.database.transaction() as tx:
        await rig.jobs.enqueue_many(tx, sample_jobs.note.using(queue="other", delay_seconds=0.01), numbers)
        await rig.jobs.enqueue_many(tx, sample_jobs.note.using(queue="other"), numbers)
        await tx.run_script("UPDATE jobs SET state = 'running', lease_until = enqueued_at WHERE state = 'ready'")
        await rig.jobs.enqueue_many(tx, sample_jobs.note.using(queue="other"), numbers)
        await tx.run_script("UPDATE jobs SET state = 'parked', requires = 'note(text)' WHERE state = 'ready'")
    await asyncio.sleep(0.02)
    async with rig.worker([rig.database]):
        await rig.until(lambda states: states == ["ready"] * 7_500, 30)


async def test_a_worker_resumes_when_the_database_comes_back(rig: Rig) -> None:
    began = time.monotonic()
    async with rig.worker([rig.database]) as worker:
        store = worker._store
        real, failing = store._database, _Broken(store._database.dialect)
        store._database = failing  # type: ignore[assignment]  # every use of it fails
        await asyncio.sleep(0.5)
        await rig.enqueue(sample_jobs.note, text="after all")
        store._database = real
        assert await rig.settled() == ["done"]
    assert time.monotonic() - began < 15


class _Broken:
    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def __getattr__(self, name: str) -> Any:
        raise DatabaseUnavailable
