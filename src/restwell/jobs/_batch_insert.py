"""Batches single-row inserts of concurrent callers: rows that arrive while a statement runs share the next one."""

import asyncio
from typing import Any, Final

from restwell.database import Database, Query

MAX_BATCH: Final = 500


class BatchInsert:
    """Runs one query.

    ``add`` returns when the row is committed. If a statement fails, every caller with a row in it gets the error.
    """

    def __init__(self, database: Database, query: Query[None]) -> None:
        self._database = database
        self._query = query
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._inserting: asyncio.Task[None] | None = None

    async def add(self, row: dict[str, Any]) -> None:
        """Insert a row. Raises what the database raises."""
        inserted = asyncio.get_running_loop().create_future()
        self._waiting.append((row, inserted))
        if self._inserting is None:
            self._inserting = asyncio.create_task(self._insert_all())
        await inserted

    async def _insert_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            error: Exception | None = None
            try:
                await self._database.run_many(self._query, [row for row, _ in batch])
            except Exception as raised:  # noqa: BLE001  # re-raised in the caller
                error = raised
            for _, inserted in batch:
                if inserted.done():  # the caller was cancelled
                    continue
                if error is None:
                    inserted.set_result(None)
                else:
                    inserted.set_exception(error)
        self._inserting = None
