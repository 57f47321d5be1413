"""On SQLite, each process looks whether the file has changed: three microseconds, a hundred times a second."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from restwell.database import SqliteDatabase
from restwell.errors import ServiceUnavailable
from restwell.jobs.notifier.base import Notifier

LOOK_SECONDS: Final = 0.01


class SqliteNotifier(Notifier):
    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._seen: int | None = None

    async def close(self) -> None: ...

    def notify(self, counts: Mapping[str, int]) -> None:
        """The commit itself is what others see."""

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # a Notifier's signature
        deadline = time.monotonic() + seconds
        while (version := self._version()) == self._seen and time.monotonic() < deadline:  # noqa: ASYNC110  # no event tells of another process's commit
            await asyncio.sleep(LOOK_SECONDS)
        self._seen = version

    def _version(self) -> int | None:
        try:
            return self._database.data_version()
        except ServiceUnavailable:
            return None
