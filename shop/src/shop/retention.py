"""Deletion of rows whose retention time is over, in batches."""

from typing import Any, Final

from sqlalchemy import Column, delete, select

from restwell.database import Query, param, query

BATCH: Final = 1_000
"""Maximum number of rows deleted in one transaction."""


def delete_before(name: str, key: Column[Any], time: Column[Any]) -> Query[None]:
    """Build the query that deletes one batch, oldest first. The column ``time`` needs an index."""
    oldest = select(key).where(time < param("before")).order_by(time).limit(BATCH)
    return query(name, delete(key.table).where(key.in_(oldest)))
