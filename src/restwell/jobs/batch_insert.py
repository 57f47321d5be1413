"""Rows that are added by many callers at once, each on its own: those who come while a statement is on its way share the next."""

import asyncio
from typing import Any, Final

from restwell.database import Database, Query

MOST: Final = 500


class BatchInsert:
    """Of one query. Each caller goes on when its row is durable; if a statement fails, so do all whose rows were in it."""

    def __init__(self, database: Database, query: Query[None]) -> None:
        self._database = database
        self._query = query
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._adding: asyncio.Task[None] | None = None

    async def add(self, row: dict[str, Any]) -> None:
        """Raises what the database raises."""
        added = asyncio.get_running_loop().create_future()
        self._waiting.append((row, added))
        if self._adding is None:
            self._adding = asyncio.create_task(self._add_all())
        await added

    async def _add_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            error: Exception | None = None
            try:
                await self._database.run_many(self._query, [row for row, _ in batch])
            except Exception as raised:  # noqa: BLE001  # it is raised again, where the row came from
                error = raised
            for _, added in batch:
                if added.done():  # its caller has given up
                    continue
                if error is None:
                    added.set_result(None)
                else:
                    added.set_exception(error)
        self._adding = None
