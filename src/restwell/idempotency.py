"""Idempotency keys: an effect and its whole answer are stored together, so that a repeat gets the answer and no second effect.

The record is written in the effect's own transaction and belongs to the caller. A failed effect leaves no record, so the
key may be tried again. Follows draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from restwell.database import Database, DatabaseBusy, Id, Timestamp, Transaction, TransactionConflict, param, query
from restwell.errors import AppError

HEADER: Final = "Idempotency-Key"
MAX_CHARS: Final = 255
BATCH: Final = 1_000
"""So many records are deleted in one transaction."""


class IdempotencyKeyRequired(AppError):
    code, status = "idempotency_key_required", 400
    message = "Send an Idempotency-Key header, at most 255 characters and unique to this request, to make repeats safe."


class IdempotencyKeyInFlight(AppError):
    code, status = "idempotency_key_in_flight", 409
    message = "The first request with this Idempotency-Key is still running. Try again shortly."


class IdempotencyKeyReused(AppError):
    code, status = "idempotency_key_reused", 422
    message = "This Idempotency-Key was used with a different request. Use a new key for a new request."


class StoredResponse(Struct, frozen=True):
    """The first answer, and whether this is a replay of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    replayed: bool = False


class _Record(Struct, frozen=True):
    target: str
    request_hash: bytes
    status: int
    headers: bytes
    body: bytes


class Idempotency:
    """Keeps its records in a table of the application's own metadata (see ``table``)."""

    def __init__(self, metadata: MetaData, name: str = "idempotency_keys") -> None:
        self.table = keys = Table(
            name,
            metadata,
            Column("user_id", Id, primary_key=True),
            Column("key", Text, primary_key=True),
            Column("target", Text, nullable=False, server_default=""),
            Column("request_hash", LargeBinary, nullable=False),
            Column("status", Integer, nullable=False, server_default="201"),
            Column("headers", LargeBinary, nullable=False, server_default="{}"),
            Column("body", LargeBinary, nullable=False),
            Column("created_at", Timestamp, nullable=False),
            Index(f"{name}_by_age", "created_at"),
        )
        row = {column.name: param(column.name) for column in keys.columns}
        self._claim = query(
            f"{name}.claim",
            {
                "postgresql": postgresql.insert(keys).values(row).on_conflict_do_nothing().returning(keys.c.key),
                "sqlite": sqlite.insert(keys).values(row).on_conflict_do_nothing().returning(keys.c.key),
            },
            into=str,
        )
        mine = (keys.c.user_id == param("user_id")) & (keys.c.key == param("key"))
        found = (keys.c.target, keys.c.request_hash, keys.c.status, keys.c.headers, keys.c.body)
        self._find = query(f"{name}.find", select(*found).where(mine), into=_Record)
        self._store = query(
            f"{name}.store",
            update(keys)
            .where(keys.c.user_id == param("match_user_id"), keys.c.key == param("match_key"))
            .values(status=param("status"), headers=param("headers"), body=param("body")),
        )
        old = (
            select(keys.c.user_id, keys.c.key)
            .where(keys.c.created_at < param("before"))
            .order_by(keys.c.created_at)
            .limit(BATCH)
        )
        self._delete_before = query(
            f"{name}.delete_before", delete(keys).where(tuple_(keys.c.user_id, keys.c.key).in_(old))
        )

    async def delete_before(self, database: Database, before: datetime) -> int:
        """Delete some of the records from before that time: their keys may be used for something else. Returns how many; 0, none is left."""
        return await database.run(self._delete_before, before=before)

    async def execute_once(
        self,
        tx: Transaction,
        user_id: UUID,
        key: str | None,
        target: str,
        request: bytes,
        effect: Callable[[], Awaitable[StoredResponse]],
    ) -> StoredResponse:
        """Run ``effect`` in ``tx`` unless this caller's key already did; either way, give its answer.

        ``target`` is the method and path that were asked for. Raises IdempotencyKeyRequired, IdempotencyKeyReused for another
        request, IdempotencyKeyInFlight while the first request holds the key longer than a lock may be waited for.
        """
        if not key or len(key) > MAX_CHARS or not key.isprintable():
            raise IdempotencyKeyRequired
        request_hash = hashlib.sha256(request).digest()
        try:
            claimed = await tx.find(
                self._claim,
                user_id=user_id,
                key=key,
                target=target,
                request_hash=request_hash,
                status=0,
                headers=b"",
                body=b"",
                created_at=datetime.now(UTC),
            )
        except TransactionConflict:
            raise  # a deadlock: the whole transaction runs again
        except DatabaseBusy as error:
            raise IdempotencyKeyInFlight from error
        if claimed is None:
            record = await tx.one(self._find, user_id=user_id, key=key)
            if (record.target or target, record.request_hash) != (target, request_hash):
                raise IdempotencyKeyReused
            headers = msgspec.json.decode(record.headers, type=dict[str, str])
            return StoredResponse(record.status, headers, record.body, replayed=True)
        answer = await effect()
        written = msgspec.json.encode(answer.headers)
        tx.defer(
            self._store, match_user_id=user_id, match_key=key, status=answer.status, headers=written, body=answer.body
        )
        return answer
