"""Idempotency keys: the response is stored in the transaction of the operation, and replayed for a repeated request.

Independent of the web framework::

    async def operation() -> StoredResponse:
        order = await orders.place(caller, draft)  # a service, which opens transactions as always
        return StoredResponse(201, {"location": f"/orders/{order.id}"}, encode(order))

    key = request.headers.get(HEADER)
    answer = await execute_once(database, caller.id, key, f"{request.method} {request.url.path}", body, operation)

Keys are scoped to the caller. A failed operation stores nothing, so the key can be retried. Follows
draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, delete, select, tuple_, update

from restwell._metadata import metadata
from restwell.database import (
    Database,
    DatabaseBusy,
    Id,
    Timestamp,
    Transaction,
    TransactionConflict,
    columns_of,
    insert_or_ignore,
    param,
    query,
)
from restwell.errors import AppError

__all__ = [
    "HEADER",
    "REPLAYED_HEADER",
    "IdempotencyKeyInFlight",
    "IdempotencyKeyRequired",
    "IdempotencyKeyReused",
    "StoredResponse",
    "delete_keys_before",
    "execute_once",
]

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "idempotent-replayed"
"""In a stored response that is sent again: ``true``."""
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
    """The response of the first request.

    ``replayed`` if it was read from the database; it then has the REPLAYED_HEADER.
    """

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


_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("target", Text, nullable=False, server_default=""),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False, server_default="201"),
    Column("headers", LargeBinary, nullable=False, server_default="{}"),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
)
_claim: Final = query("idempotency_keys.claim", insert_or_ignore(_keys, returning=[_keys.c.key]), into=str)
_find: Final = query(
    "idempotency_keys.find",
    select(*columns_of(_keys, _Record)).where(_keys.c.user_id == param("user_id"), _keys.c.key == param("key")),
    into=_Record,
)
_store: Final = query(
    "idempotency_keys.store",
    update(_keys)
    .where(_keys.c.user_id == param("match_user_id"), _keys.c.key == param("match_key"))
    .values(status=param("status"), headers=param("headers"), body=param("body")),
)
_expired: Final = (
    select(_keys.c.user_id, _keys.c.key)
    .where(_keys.c.created_at < param("before"))
    .order_by(_keys.c.created_at)
    .limit(MAX_BATCH)
)
_delete_before: Final = query(
    "idempotency_keys.delete_before", delete(_keys).where(tuple_(_keys.c.user_id, _keys.c.key).in_(_expired))
)


async def delete_keys_before(database: Database, before: datetime) -> int:
    """Delete a batch of records older than ``before``. Returns the number deleted; 0 means none are left."""
    return await database.run(_delete_before, before=before)


async def execute_once(
    database: Database,
    caller_id: UUID,
    key: str | None,
    target: str,
    body: bytes,
    operation: Callable[[], Awaitable[StoredResponse]],
) -> StoredResponse:
    """Run ``operation`` in one transaction with its stored response, or return that if the caller used the key before.

    ``target`` is the method and path of the request; ``body`` is everything else that it is made of. The transaction
    is ambient: transactions and queries of ``database`` in the operation join it. The operation must have no other
    effect: after a transaction conflict it runs again. An exception of it rolls back everything, and the key can be
    used again.

    Raises IdempotencyKeyRequired without a valid key, IdempotencyKeyReused if the key belongs to a different request,
    and IdempotencyKeyInFlight if the first request still runs after the lock timeout.
    """
    if not key or len(key) > MAX_CHARS or not key.isprintable():
        raise IdempotencyKeyRequired
    request_hash = hashlib.sha256(body).digest()

    async def once(tx: Transaction) -> StoredResponse:
        if not await _is_first(tx, caller_id, key, target, request_hash):
            return await _stored_response(tx, caller_id, key, target, request_hash)
        response = await operation()
        tx.defer(
            _store,
            match_user_id=caller_id,
            match_key=key,
            status=response.status,
            headers=msgspec.json.encode(response.headers),
            body=response.body,
        )
        return response

    return await database.in_transaction(once, ambient=True)


async def _is_first(tx: Transaction, caller_id: UUID, key: str, target: str, request_hash: bytes) -> bool:
    """Claim the key. Waits for a transaction that has claimed it."""
    try:
        claimed = await tx.find(
            _claim,
            user_id=caller_id,
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
    return claimed is not None


async def _stored_response(
    tx: Transaction, caller_id: UUID, key: str, target: str, request_hash: bytes
) -> StoredResponse:
    record = await tx.one(_find, user_id=caller_id, key=key)
    if (record.target or target, record.request_hash) != (target, request_hash):
        raise IdempotencyKeyReused
    headers = msgspec.json.decode(record.headers, type=dict[str, str])
    return StoredResponse(record.status, {**headers, REPLAYED_HEADER: "true"}, record.body, replayed=True)
