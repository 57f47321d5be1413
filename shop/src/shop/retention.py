"""Deletion of rows whose retention time is over, in batches, and of their files."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import Column, delete, select

from restwell.database import Query, param, query

BATCH: Final = 1_000
"""Maximum number of rows deleted in one transaction."""


def delete_before(name: str, key: Column[Any], time: Column[Any]) -> Query[None]:
    """Build the query that deletes one batch, oldest first. The column ``time`` needs an index."""
    oldest = select(key).where(time < param("before")).order_by(time).limit(BATCH)
    return query(name, delete(key.table).where(key.in_(oldest)))


class DeletesExpired(ABC):
    """A service with rows that expire. The cleanup calls it."""

    @abstractmethod
    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of the rows that are expired at ``now``. Returns their number, at last 0."""


class OwnsFolder(ABC):
    """A service with files in ``folder``, below folders named by an id."""

    folder: ClassVar[str]

    @abstractmethod
    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of at most BATCH ids that have a row."""
