"""Notifications through Redis."""

import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from restwell.ids import new_id
from restwell.jobs._notifier.redis import RedisNotifier
from servers import redis_server

pytestmark = pytest.mark.integration


@pytest.fixture
async def notifier(redis_url: str) -> AsyncIterator[RedisNotifier]:
    opened = RedisNotifier(redis_url, new_id().hex)
    await opened.wait(["default", "mail"], 1, 0.01)  # makes the groups
    yield opened
    await opened.close()


async def seconds_of(notifier: RedisNotifier, limit: float) -> float:
    began = time.monotonic()
    await notifier.wait(["default", "mail"], 1, limit)
    return time.monotonic() - began


async def test_a_notification_waits_for_a_worker_that_is_busy(notifier: RedisNotifier) -> None:
    """Breaks with publish and subscribe: who does not listen at that moment misses it."""
    notifier.notify({"mail": 2})
    assert await seconds_of(notifier, 30) < 10
    assert await seconds_of(notifier, 30) < 10
    assert await seconds_of(notifier, 0.2) >= 0.2, "each wakes one worker once"


async def test_a_deleted_stream_is_made_again(notifier: RedisNotifier, redis_url: str) -> None:
    """Breaks when a missing group is an error: the worker would end after a FLUSHALL."""
    async with Redis.from_url(redis_url) as admin:
        await admin.delete(*[f"{notifier._prefix}{queue}" for queue in ("default", "mail")])
    await notifier.wait(["default", "mail"], 1, 0.01)
    notifier.notify({"default": 1})
    assert await seconds_of(notifier, 30) < 10


async def test_a_server_that_is_down_is_logged_once_and_used_again_when_it_is_back() -> None:
    """Breaks if a failed wait returns at once: the worker would query the database without a pause."""
    with redis_server() as server, capture_logs() as lines:
        notifier = RedisNotifier(server.url, "test")
        await notifier.wait(["default"], 1, 0.01)
        server.kill()
        for _ in range(2):
            assert await seconds_of(notifier, 0.3) >= 0.3
        notifier.notify({"default": 1})
        assert notifier.broker.is_down
        server.start()
        await notifier.wait(["default"], 1, 0.01)
        await notifier.wait(["default"], 1, 0.01)
        await notifier.close()
    assert [line["event"] for line in lines] == ["jobs_broker_down", "jobs_broker_up"]
