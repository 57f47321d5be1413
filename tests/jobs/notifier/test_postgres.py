"""Notifications through LISTEN and NOTIFY of PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from restwell.database import Database, open_database, query
from restwell.jobs._notifier import postgres as module
from restwell.jobs._notifier.postgres import PostgresNotifier

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

_end_listener = query(
    "test.end_listener",
    text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    ),
    into=bool,
)


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        yield opened


@pytest.fixture
async def listener(database: Database, empty_url: str) -> AsyncIterator[PostgresNotifier]:
    notifier = PostgresNotifier(database, empty_url)
    await notifier.wait(["default", "mail"], 1, 10)  # ends when it listens
    yield notifier
    await notifier.close()


async def seconds_of(notifier: PostgresNotifier, limit: float) -> float:
    began = time.monotonic()
    await notifier.wait(["default", "mail"], 1, limit)
    return time.monotonic() - began


async def test_a_notification_wakes_the_workers_of_its_queues_only(
    database: Database, empty_url: str, listener: PostgresNotifier
) -> None:
    """Breaks when every notification wakes every worker: each would query the table for nothing."""
    sender = PostgresNotifier(database, empty_url)
    sender.notify({"images": 3})
    assert await seconds_of(listener, 0.3) >= 0.3
    sender.notify({"images": 1, "mail": 2})
    assert await seconds_of(listener, 30) < 10
    await sender.close()


async def test_a_lost_connection_is_replaced_and_wakes_the_worker_for_what_it_missed(
    database: Database, listener: PostgresNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the reconnection: the worker would only poll, for as long as it runs."""
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.1)
    assert await database.primary.all(_end_listener) == [True]
    assert await seconds_of(listener, 30) < 10, "it woke when it listened again"


async def test_a_server_that_cannot_be_reached_is_logged_and_the_wait_takes_its_time(database: Database) -> None:
    notifier = PostgresNotifier(database, "postgresql://127.0.0.1:1/none")
    with capture_logs() as lines:
        assert await seconds_of(notifier, 0.3) >= 0.3
        await asyncio.sleep(0)
    await notifier.close()
    assert [line["event"] for line in lines] == ["job_listener_disconnected"]
