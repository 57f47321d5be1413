"""Reservations of stock for the orders of another service: they expire unless they are confirmed."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from restwell.database import Database, Transaction
from restwell.jobs import JobContext, job
from shop.products import queries
from shop.products.stock import LocalStock, ReservationExpired, ReservedItem

RESERVED_FOR: Final = timedelta(hours=3)
"""Long enough for the hourly job of the orders to settle one whose first job is dead, after an outage."""


class Reservations:
    """A row for each order with stock, which has a time of expiry until it is confirmed. Each method is idempotent."""

    def __init__(self, database: Database, stock: LocalStock) -> None:
        self._database = database
        self._stock = stock

    async def reserve(self, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:
        """Reserve the stock of an order; again, return what is reserved. Raises OutOfStock, Invalid."""
        return await self._database.in_transaction(lambda tx: self._reserve(tx, order_id, quantities))

    async def _reserve(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:
        expires_at = datetime.now(UTC) + RESERVED_FOR
        claimed = await tx.find(queries.insert_reservation, id=order_id, lines="[]", expires_at=expires_at)
        if claimed is None:
            return _decode(await tx.one(queries.reserved_lines, id=order_id))
        items = await self._stock.reserve(tx, order_id, quantities)
        tx.defer(queries.set_lines, match_id=order_id, lines=msgspec.json.encode(items).decode())
        return items

    async def confirm(self, order_id: UUID) -> None:
        """Keep the reservation until it is released. Raises ReservationExpired."""
        if not await self._database.run(queries.confirm_reservation, match_id=order_id):
            raise ReservationExpired

    async def release(self, order_id: UUID) -> None:
        """Return the stock of a reservation, confirmed or not. Does nothing if there is none."""
        await self._database.in_transaction(lambda tx: self._release(tx, order_id))

    async def _release(self, tx: Transaction, order_id: UUID) -> None:
        items = await tx.find(queries.delete_reservation, match_id=order_id)
        if items is not None:
            await self._return(tx, [items])

    async def release_expired(self, now: datetime) -> None:
        """Return the stock of reservations that were not confirmed in time."""
        while await self._database.in_transaction(lambda tx: self._release_expired(tx, now)):
            pass

    async def _release_expired(self, tx: Transaction, now: datetime) -> int:
        expired = await tx.all(queries.delete_expired_reservations, now=now)
        await self._return(tx, expired)
        return len(expired)

    async def _return(self, tx: Transaction, reservations: list[str]) -> None:
        quantities: Counter[UUID] = Counter()
        for item in (item for items in reservations for item in _decode(items)):
            quantities[item.product_id] += item.quantity
        await self._stock.give_back(tx, quantities)


def _decode(items: str) -> list[ReservedItem]:
    return msgspec.json.decode(items, type=list[ReservedItem])


@job(cron="* * * * *")
async def release_expired_reservations(context: JobContext) -> None:
    await context.get(Reservations).release_expired(datetime.now(UTC))
