"""Workers with expired leases, blocked event loops and failing databases, on each database."""

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
from jobs_harness import JobsHarness, add_effect
from restwell.database import DatabaseUnavailable, query
from restwell.errors import NotFound
from restwell.jobs import JobContext, job
from restwell.jobs import _queries as queries
from restwell.jobs import _worker as worker
from restwell.jobs._metrics import queue_metrics
from restwell.jobs._store import JobStore

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


async def test_a_lost_lease_cancels_its_running_job(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=60)
    async with harness.worker([harness.database], heartbeat_seconds=0.3, concurrency=1) as worker:
        await harness.wait_for_states(lambda states: states == ["running"])
        async with harness.database.transaction() as tx:
            await tx.run_script("UPDATE jobs SET fencing_token = fencing_token + 1, worker = 'another'")
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
    assert (await harness.jobs.get(job_id)).state == "running"
    assert await harness.notes() == ["began in attempt 1"]


async def test_leases_are_extended_while_the_event_loop_is_blocked(harness: JobsHarness) -> None:
    """Breaks if the heartbeat runs in the event loop of the worker."""
    job_id = await harness.enqueue(sample_jobs.block_event_loop, seconds=2.5)
    async with harness.worker(heartbeat_seconds=0.2, lease_seconds=1.0), harness.worker():
        assert await harness.wait_until_finished() == ["done"]
    assert (await harness.jobs.get(job_id)).attempts == 1


async def test_a_stopping_worker_claims_no_job_and_finishes_its_running_jobs(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.sleep, seconds=0.5)
    await harness.enqueue(sample_jobs.sleep, seconds=0.5)
    async with harness.worker([harness.database], concurrency=1) as worker:
        await harness.wait_for_states(lambda states: "running" in states)
        worker.stop()
    assert sorted(await harness.states()) == ["done", "ready"]


async def test_a_job_that_exceeds_the_drain_time_is_released_and_its_attempt_does_not_count(
    harness: JobsHarness,
) -> None:
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=60)
    async with harness.worker([harness.database], drain_seconds=0.2):
        await harness.wait_for_states(lambda states: states == ["running"])
    found = await harness.jobs.get(job_id)
    assert (found.state, found.attempts) == ("ready", 0)
    assert await harness.jobs.failures(job_id) == []


async def test_a_worker_stops_after_max_jobs_or_above_its_memory_limit(harness: JobsHarness) -> None:
    for number in range(6):
        await harness.enqueue(sample_jobs.note, text=str(number))
    async with harness.worker([harness.database], concurrency=1, max_jobs=2) as worker:
        async with asyncio.timeout(10):
            await worker.stopping.wait()
    assert worker.completed_count == 2
    async with harness.worker([harness.database], max_memory_bytes=1) as worker:
        async with asyncio.timeout(10):
            await worker.stopping.wait()


async def test_a_finished_job_is_deleted_after_its_retention_time(harness: JobsHarness) -> None:
    done = await harness.enqueue(sample_jobs.note, text="done")
    dead = await harness.enqueue(sample_jobs.fail_permanently)
    async with harness.worker([harness.database]):
        await harness.wait_until_finished()
    async with harness.worker(done_retention_seconds=0, dead_retention_seconds=3_600):
        await harness.wait_for_states(lambda states: states == ["dead"])
    with pytest.raises(NotFound):
        await harness.jobs.get(done)
    async with harness.worker(dead_retention_seconds=0):
        await harness.wait_for_states(lambda states: states == [])
    assert await harness.jobs.failures(dead) == []


async def test_queue_stats_count_jobs_by_queue_and_state(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.note, text="a")
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=60), text="b")
    await harness.enqueue(sample_jobs.note.with_options(queue="mail"), text="c")
    stats = await harness.jobs.queue_stats()
    (count, age) = queue_metrics(stats)
    assert {sample.labels["queue"]: sample.value < 60 for sample in age.samples} == {"default": True, "mail": True}
    assert sum(sample.value for sample in count.samples) == 3
    found = {(one.queue, one.state): one.count for one in stats}
    assert found == {("default", "ready"): 1, ("default", "scheduled"): 1, ("mail", "ready"): 1}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_timeout_of_a_synchronous_job_begins_when_it_runs(harness: JobsHarness) -> None:
    """Breaks if the timeout starts with the claim: the last of five jobs waits ten seconds for the only process."""
    nap = replace(sample_jobs.blocking_sleep, timeout_seconds=8)
    harness.known = [nap]
    for _ in range(5):
        await harness.enqueue(nap, seconds=2.5)
    async with harness.worker(processes=1):
        assert await harness.wait_until_finished(60) == ["done"] * 5


async def test_maintenance_continues_after_a_failed_step(harness: JobsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=0.1), text="later")
    async with harness.worker([harness.database]) as worker:
        real, failed = worker._store.promote, asyncio.Event()

        async def promote() -> list[str]:
            if failed.is_set():
                return await real()
            failed.set()
            raise ZeroDivisionError

        monkeypatch.setattr(worker._store, "promote", promote)
        assert await harness.wait_until_finished() == ["done"]
    assert failed.is_set()


async def test_maintenance_continues_with_an_unwritable_liveness_file(harness: JobsHarness, tmp_path: Path) -> None:
    """Breaks if the error of the file is not caught separately: a scheduled job never becomes ready."""
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=0.1), text="later")
    async with harness.worker([harness.database], liveness_file=tmp_path / "gone" / "alive"):
        assert await harness.wait_until_finished() == ["done"]


async def test_several_schedulers_enqueue_one_job_for_each_scheduled_time(harness: JobsHarness) -> None:
    """Breaks without the compare-and-set of the cron run."""
    harness.known = [sample_jobs.every_second]
    async with (
        harness.worker([harness.database]),
        harness.worker([harness.database]),
        harness.worker([harness.database]),
    ):
        async with asyncio.timeout(20):
            while len(await harness.notes()) < 4:
                await asyncio.sleep(0.1)
    times = [datetime.fromisoformat(note) for note in await harness.notes()]
    assert [after - before for before, after in pairwise(times)] == [timedelta(seconds=1)] * (len(times) - 1)


async def test_a_cron_run_stored_in_the_future_does_not_stop_its_job(harness: JobsHarness) -> None:
    """Seen to fail: the job did not run until that time, ten days later, without a log line."""
    harness.known = [sample_jobs.every_second]
    later = await JobStore(harness.database).now() + timedelta(days=10)
    await harness.database.run(queries.insert_cron_run, name="every_second", scheduled_at=later)
    with capture_logs() as logs:
        async with harness.worker([harness.database]):
            async with asyncio.timeout(20):
                while not await harness.notes():
                    await asyncio.sleep(0.1)
    assert [line["job"] for line in logs if line["event"] == "cron_last_run_in_future"] == ["every_second"]


async def test_maintenance_makes_all_due_jobs_ready_without_a_pause(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a thousand jobs a second became ready, with pauses between them.

    The same applies to expired leases and parked jobs.
    """
    monkeypatch.setattr(worker, "POLL_SECONDS", 60.0)
    numbers = [{"text": str(n)} for n in range(2_500)]
    async with harness.database.transaction() as tx:
        await harness.jobs.enqueue_many(tx, sample_jobs.note.with_options(queue="other", delay_seconds=0.01), numbers)
        await harness.jobs.enqueue_many(tx, sample_jobs.note.with_options(queue="other"), numbers)
        await tx.run_script("UPDATE jobs SET state = 'running', lease_until = enqueued_at WHERE state = 'ready'")
        await harness.jobs.enqueue_many(tx, sample_jobs.note.with_options(queue="other"), numbers)
        await tx.run_script("UPDATE jobs SET state = 'parked', requires = 'note(text)' WHERE state = 'ready'")
    await asyncio.sleep(0.02)
    async with harness.worker([harness.database]):
        await harness.wait_for_states(lambda states: states == ["ready"] * 7_500, 30)


async def test_a_worker_resumes_when_the_database_is_available_again(harness: JobsHarness) -> None:
    began = time.monotonic()
    async with harness.worker([harness.database]) as worker:
        store = worker._store
        real, failing = store._database, _Broken(store._database.dialect)
        store._database = failing  # type: ignore[assignment]  # every call fails
        await asyncio.sleep(0.5)
        await harness.enqueue(sample_jobs.note, text="after all")
        store._database = real
        assert await harness.wait_until_finished() == ["done"]
    assert time.monotonic() - began < 15


class _Broken:
    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def __getattr__(self, name: str) -> Any:
        raise DatabaseUnavailable
