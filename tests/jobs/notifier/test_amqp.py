"""Notifications through RabbitMQ."""

import asyncio
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

import sample_jobs
from jobs_harness import open_harness
from restwell.jobs import _worker as worker
from restwell.jobs._notifier.amqp import AmqpNotifier


async def test_a_worker_resumes_consuming_a_deleted_queue(tmp_path: Path, rabbit_url: str) -> None:
    """Seen to fail: the queue was never consumed again, and each job waited until the worker polled the table."""
    async with (
        open_harness(f"sqlite:///{tmp_path / 'jobs.db'}", sample_jobs.ALL, rabbit_url) as harness,
        harness.worker([harness.database], queues=("default", "mail")),
        await aio_pika.connect(rabbit_url) as connection,
    ):
        default, mail = (f"{harness.name}.jobs.{queue}" for queue in ("default", "mail"))
        for _ in range(2):
            assert await _consumers(connection, default) == await _consumers(connection, mail) == 1
            await (await connection.channel()).queue_delete(default)
        assert await _consumers(connection, default) == await _consumers(connection, mail) == 1
        await harness.enqueue(sample_jobs.note, text="a")
        assert await harness.wait_until_finished() == ["done"]


async def test_a_worker_whose_queue_could_not_be_declared_tries_again_after_a_second(
    tmp_path: Path, rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ also refuses one of two connections that declare a queue at once. Breaks when it waits for the poll."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 60.0)
    async with (
        open_harness(f"sqlite:///{tmp_path / 'jobs.db'}", sample_jobs.ALL, rabbit_url) as harness,
        await aio_pika.connect(rabbit_url) as connection,
    ):
        channel = await connection.channel()
        other = await channel.declare_queue(f"{harness.name}.jobs.default", arguments={"x-max-length": 1})
        async with harness.worker([harness.database]) as started:
            assert isinstance(started._jobs.notifier, AmqpNotifier)
            async with asyncio.timeout(20):
                while not started._jobs.notifier.broker.is_down:
                    await asyncio.sleep(0.01)
            await other.delete()
            await harness.enqueue(sample_jobs.note, text="a")
            assert await harness.wait_until_finished(30) == ["done"]


async def _consumers(connection: aio_pika.abc.AbstractConnection, name: str) -> int:
    """Wait until the queue has consumers. Returns their number."""
    async with asyncio.timeout(20):
        while True:
            try:
                queue = await (await connection.channel()).declare_queue(name, passive=True)
                if count := queue.declaration_result.consumer_count:
                    return count
            except ChannelNotFoundEntity:
                pass
            await asyncio.sleep(0.1)
