"""On PostgreSQL, NOTIFY: sent after the commit and on its own, because one inside it makes all commits wait in one line."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import func, select

from restwell.database import Database, param, query
from restwell.database_url import postgres_url
from restwell.errors import ServiceUnavailable
from restwell.jobs.notifier.base import Sender

log = structlog.get_logger("restwell.jobs")

CHANNEL: Final = "restwell_jobs"
AGAIN_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3.0

_notify: Final = query("jobs.notify", select(func.pg_notify(CHANNEL, param("queues"))), into=object)


class PostgresNotifier(Sender):
    """Who waits holds one connection more, outside the pool. Behind a pooler that has no LISTEN, workers only look by themselves."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__()
        self._database = database
        self._connect = postgres_url(url).connect_arguments()
        self._listening: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._queues: frozenset[str] = frozenset()

    async def close(self) -> None:
        await super().close()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # every worker hears all
        if self._listening is None:
            self._queues = frozenset(queues)
            self._listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        self._heard.clear()

    async def _send(self, counts: Mapping[str, int]) -> None:
        with suppress(ServiceUnavailable):  # which the database has logged
            await self._database.primary.find(_notify, queues=" ".join(counts))

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(**self._connect, timeout=CONNECT_SECONDS)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("job_listener_disconnected", cause=repr(error))
            else:
                try:
                    gone = asyncio.Event()
                    connection.add_termination_listener(lambda _, gone=gone: gone.set())
                    await connection.add_listener(CHANNEL, self._hear)
                    self._heard.set()  # something may have been said before
                    await gone.wait()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.warning("job_listener_disconnected", cause=repr(error))
                finally:
                    connection.terminate()
            await asyncio.sleep(AGAIN_SECONDS)

    def _hear(self, _connection: Any, _process: int, _channel: str, queues: str) -> None:
        if not self._queues.isdisjoint(queues.split()):
            self._heard.set()
