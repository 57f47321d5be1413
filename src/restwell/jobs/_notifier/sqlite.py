"""Notifications on SQLite: each process polls PRAGMA data_version every 10 ms, which takes three microseconds."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from restwell.database._sqlite import SqliteDatabase
from restwell.errors import ServiceUnavailable
from restwell.jobs._notifier.base import Notifier

POLL_SECONDS: Final = 0.01


class SqliteNotifier(Notifier):
    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._seen: int | None = None

    async def close(self) -> None: ...

    def notify(self, counts: Mapping[str, int]) -> None:
        """Do nothing: workers see the commit."""

    # SQLite has no event for a commit of another process, so this polls.
    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # see Notifier
        deadline = time.monotonic() + seconds
        while (version := self._version()) == self._seen and time.monotonic() < deadline:  # noqa: ASYNC110  # see above
            await asyncio.sleep(POLL_SECONDS)
        self._seen = version

    def _version(self) -> int | None:
        try:
            return self._database.data_version()
        except ServiceUnavailable:
            return None
