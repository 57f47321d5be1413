"""Workers with expired leases, blocked event loops and failing databases, on each database."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database import DatabaseUnavailable
from restwell.errors import NotFound
from restwell.jobs import _worker as worker


@pytest.mark.slow
async def test_a_stopping_worker_claims_no_job_and_finishes_its_running_jobs(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.sleep, seconds=0.5)
    await harness.enqueue(sample_jobs.sleep, seconds=0.5)
    async with harness.worker([harness.database], concurrency=1) as worker:
        await harness.wait_for_states(lambda states: "running" in states)
        worker.stop()
    assert sorted(await harness.states()) == ["done", "ready"]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
async def test_maintenance_continues_with_an_unwritable_liveness_file(harness: JobsHarness, tmp_path: Path) -> None:
    """Breaks if the error of the file is not caught separately: a scheduled job never becomes ready."""
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=0.1), text="later")
    async with harness.worker([harness.database], liveness_file=tmp_path / "gone" / "alive"):
        assert await harness.wait_until_finished() == ["done"]


@pytest.mark.slow
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


@pytest.mark.slow
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
