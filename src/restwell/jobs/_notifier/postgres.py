"""Notifications through NOTIFY of PostgreSQL.

It is sent after the commit, because a NOTIFY in a transaction takes a global lock when that commits.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import func, select

from restwell._database_url import postgres_url
from restwell.database import Database, param, query
from restwell.errors import ServiceUnavailable
from restwell.jobs._notifier.base import BackgroundNotifier

log = structlog.get_logger("restwell.jobs")

CHANNEL: Final = "restwell_jobs"
RECONNECT_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3.0

_notify: Final = query("jobs.notify", select(func.pg_notify(CHANNEL, param("queues"))), into=object)


class PostgresNotifier(BackgroundNotifier):
    """A worker holds one connection for LISTEN, outside the pool. Behind a pooler without LISTEN, workers only poll."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__()
        self._database = database
        self._connect = postgres_url(url).connect_arguments()
        self._listening: asyncio.Task[None] | None = None
        self._notified = asyncio.Event()
        self._queues: frozenset[str] = frozenset()

    async def close(self) -> None:
        await super().close()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # wakes all
        if self._listening is None:
            self._queues = frozenset(queues)
            self._listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        self._notified.clear()

    async def _send(self, counts: Mapping[str, int]) -> None:
        with suppress(ServiceUnavailable):  # logged by the database
            await self._database.primary.find(_notify, queues=" ".join(counts))

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(**self._connect, timeout=CONNECT_SECONDS)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("job_listener_disconnected", cause=repr(error))
            else:
                try:
                    closed = asyncio.Event()
                    connection.add_termination_listener(lambda _, closed=closed: closed.set())
                    await connection.add_listener(CHANNEL, self._on_notification)
                    self._notified.set()  # a notification may have been missed before
                    await closed.wait()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.warning("job_listener_disconnected", cause=repr(error))
                finally:
                    connection.terminate()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _on_notification(self, _connection: Any, _process: int, _channel: str, queues: str) -> None:
        if not self._queues.isdisjoint(queues.split()):
            self._notified.set()
