"""Idempotency keys: the response is stored in the transaction of the operation, and replayed for a repeated request.

Keys are scoped to the user. A failed operation stores nothing, so the key can be retried. Follows
draft-ietf-httpapi-idempotency-key-header-07.
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

__all__ = ["Idempotency", "IdempotencyKeyInFlight", "IdempotencyKeyRequired", "IdempotencyKeyReused"]

HEADER: Final = "Idempotency-Key"
MAX_CHARS: Final = 255
MAX_BATCH: Final = 1_000
"""The most records that one transaction deletes."""


class IdempotencyKeyRequired(AppError):
    """An ``@idempotent`` route was called without a valid key."""

    code, status = "idempotency_key_required", 400
    message = "Send an Idempotency-Key header, at most 255 characters and unique to this request, to make repeats safe."


class IdempotencyKeyInFlight(AppError):
    """The first request with this key has not ended."""

    code, status = "idempotency_key_in_flight", 409
    message = "The first request with this Idempotency-Key is still running. Try again shortly."


class IdempotencyKeyReused(AppError):
    """The key belongs to another request of the same caller."""

    code, status = "idempotency_key_reused", 422
    message = "This Idempotency-Key was used with a different request. Use a new key for a new request."


class StoredResponse(Struct, frozen=True):
    """The response of the first request. ``replayed`` if it was read from the database."""

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
    """Stores records in ``table``, which is added to the application's metadata."""

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
        matches = (keys.c.user_id == param("user_id")) & (keys.c.key == param("key"))
        columns = (keys.c.target, keys.c.request_hash, keys.c.status, keys.c.headers, keys.c.body)
        self._find = query(f"{name}.find", select(*columns).where(matches), into=_Record)
        self._store = query(
            f"{name}.store",
            update(keys)
            .where(keys.c.user_id == param("match_user_id"), keys.c.key == param("match_key"))
            .values(status=param("status"), headers=param("headers"), body=param("body")),
        )
        expired = (
            select(keys.c.user_id, keys.c.key)
            .where(keys.c.created_at < param("before"))
            .order_by(keys.c.created_at)
            .limit(MAX_BATCH)
        )
        self._delete_before = query(
            f"{name}.delete_before", delete(keys).where(tuple_(keys.c.user_id, keys.c.key).in_(expired))
        )

    async def delete_before(self, database: Database, before: datetime) -> int:
        """Delete a batch of records older than ``before``. Returns the number deleted; 0 means none are left."""
        return await database.run(self._delete_before, before=before)

    async def execute_once(
        self,
        tx: Transaction,
        user_id: UUID,
        key: str | None,
        target: str,
        request: bytes,
        operation: Callable[[], Awaitable[StoredResponse]],
    ) -> StoredResponse:
        """Run ``operation`` in ``tx``, or return the stored response if the user already used the key.

        ``target`` is the method and path of the request. Raises IdempotencyKeyRequired without a valid key,
        IdempotencyKeyReused if the key belongs to a different request, and IdempotencyKeyInFlight if the first request
        still runs after the lock timeout.
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
            raise  # a deadlock: the whole transaction is retried
        except DatabaseBusy as error:
            raise IdempotencyKeyInFlight from error
        if claimed is None:
            record = await tx.one(self._find, user_id=user_id, key=key)
            if (record.target or target, record.request_hash) != (target, request_hash):
                raise IdempotencyKeyReused
            headers = msgspec.json.decode(record.headers, type=dict[str, str])
            return StoredResponse(record.status, headers, record.body, replayed=True)
        response = await operation()
        headers_json = msgspec.json.encode(response.headers)
        tx.defer(
            self._store,
            match_user_id=user_id,
            match_key=key,
            status=response.status,
            headers=headers_json,
            body=response.body,
        )
        return response
