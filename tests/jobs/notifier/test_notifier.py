"""Workers are notified of ready jobs, through each database and each broker."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from restwell.database import open_database
from restwell.jobs import JobOperations
from restwell.jobs import _worker as worker
from restwell.jobs._bulk_changes import BulkChanges
from restwell.jobs._notifier import base, open_notifier
from restwell.jobs._notifier.amqp import AmqpNotifier
from restwell.jobs._notifier.postgres import PostgresNotifier
from restwell.jobs._notifier.redis import RedisNotifier
from restwell.jobs._notifier.sqlite import SqliteNotifier


@pytest.mark.slow
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
    assert sorted(waits)[2] < timedelta(seconds=0.6)


@pytest.mark.slow
async def test_a_worker_with_full_slots_notifies_another_worker(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without ``notify_another``: one of four workers is woken, and the others keep waiting."""
    monkeypatch.setattr(base, "MAX_NOTIFICATIONS", 1)
    monkeypatch.setattr(worker, "POLL_SECONDS", 60.0)
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(harness.worker([harness.database], concurrency=1, drain_seconds=0))
            for _ in range(4)
        ]
        async with asyncio.timeout(90):  # until RabbitMQ knows all consumers, and delivers to each in turn
            while not all(getattr(one._jobs.notifier, "_tags", True) for one in workers):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # all workers are waiting now
        async with harness.database.transaction() as tx:
            await harness.jobs.enqueue_many(tx, sample_jobs.sleep, [{"seconds": 60.0}] * 4)
        await harness.wait_for_states(lambda states: states == ["running"] * 4, 10)


@pytest.mark.slow
async def test_a_worker_claims_jobs_of_its_queues_only(harness: JobsHarness) -> None:
    await harness.enqueue(sample_jobs.note.with_options(queue="images"), text="image")
    await harness.enqueue(sample_jobs.note, text="default")
    async with harness.worker([harness.database]):
        await harness.wait_for_states(lambda states: sorted(states) == ["done", "ready"])
        await asyncio.sleep(0.3)
    assert await harness.notes() == ["default"]


@pytest.mark.slow
async def test_a_worker_starts_no_job_of_a_paused_queue_and_all_of_them_soon_after_it_is_resumed(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when a claim ignores pauses, and without the notification of ``resume``."""
    operations = JobOperations(harness.database, harness.jobs, BulkChanges(harness.database, harness.jobs))
    async with harness.worker([harness.database]):
        await harness.enqueue(sample_jobs.note, text="warm")
        await harness.wait_until_finished()
        monkeypatch.setattr(worker, "POLL_SECONDS", 20.0)
        await operations.pause("default")
        for number in range(3):
            await harness.enqueue(sample_jobs.note, text=str(number))
        await asyncio.sleep(1.5)  # its last short poll is over
        assert sorted(await harness.states()) == ["done", "ready", "ready", "ready"]
        await operations.resume("default")
        assert await harness.wait_until_finished(15) == ["done"] * 4


async def test_the_notifier_is_that_of_the_broker_or_else_of_the_database(tmp_path: Path) -> None:
    sqlite = open_database(f"sqlite:///{tmp_path / 'unused.db'}")
    postgresql = open_database("postgresql://127.0.0.1:1/unused")
    for database, broker, kind in (
        (sqlite, None, SqliteNotifier),
        (postgresql, None, PostgresNotifier),
        (sqlite, "redis://127.0.0.1:1/0", RedisNotifier),
        (sqlite, "rediss://127.0.0.1:1/0", RedisNotifier),
        (postgresql, "amqp://127.0.0.1:1", AmqpNotifier),
        (postgresql, "amqps://127.0.0.1:1", AmqpNotifier),
    ):
        notifier = open_notifier(database, "postgresql://127.0.0.1:1/unused", broker, "test")
        assert type(notifier) is kind
        await notifier.close()
