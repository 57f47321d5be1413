"""Leases are extended while jobs run, and jobs that lost theirs are cancelled."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database import DatabaseUnavailable
from restwell.jobs._store import JobStore


async def test_cancelling_a_running_job_cancels_its_task(harness: JobsHarness) -> None:
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=30)
    async with harness.worker([harness.database], heartbeat_seconds=0.1) as worker:
        await harness.wait_for_states(lambda states: states == ["running"])
        assert await harness.jobs.cancel(job_id)
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
    assert await harness.states() == ["cancelled"]


@pytest.mark.slow
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


@pytest.mark.slow
async def test_leases_are_extended_while_the_event_loop_is_blocked(harness: JobsHarness) -> None:
    """Breaks if the heartbeat runs in the event loop of the worker: each job is then run again.

    Breaks on SQLite if a worker holds a transaction while it waits for its loop: no other connection can write then.
    """
    lease: dict[str, Any] = {"heartbeat_seconds": 0.2, "lease_seconds": 2.0}
    async with harness.worker(**lease), harness.worker(**lease):
        job_id = await harness.enqueue(sample_jobs.block_event_loop, seconds=3.5)
        assert set(await harness.wait_until_finished()) == {"done"}
    assert (await harness.jobs.get(job_id)).attempts == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_leases_are_extended_again_after_the_database_was_unavailable(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if the thread ends with the error: the worker would lose every lease, and never notice a cancellation."""
    real, calls = JobStore.extend, []

    async def extend(store: JobStore, running: dict[UUID, int]) -> set[UUID]:
        calls.append(running)
        if len(calls) == 1:
            raise DatabaseUnavailable
        return await real(store, running)

    monkeypatch.setattr(JobStore, "extend", extend)
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=30)
    async with harness.worker([harness.database], heartbeat_seconds=0.1) as worker:
        await harness.wait_for_states(lambda states: states == ["running"])
        async with asyncio.timeout(10):
            while len(calls) < 2:
                await asyncio.sleep(0.01)
        assert await harness.jobs.cancel(job_id)
        async with asyncio.timeout(5):
            while not worker.idle:
                await asyncio.sleep(0.01)
