"""The stock of orders: what they need of the catalogue, and its implementation in their own database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from restwell.cache import Cache
from restwell.database import Transaction
from restwell.errors import Conflict, FieldError, Invalid
from shop.products import queries
from shop.products.tags import tags_of


class OutOfStock(Conflict):
    code, message = "out_of_stock", "Not enough stock of a product."


class ReservationExpired(Conflict):
    code, message = "reservation_expired", "The stock of the order is not reserved any more."


class ReservedItem(Struct, frozen=True):
    """A quantity of a product, with its name and price at the time of the reservation."""

    product_id: UUID
    quantity: int
    name: str
    unit_price_cents: int
    currency: str


class StockService(Protocol):
    """The catalogue may be another service: then only ``release`` is part of the transaction, as a job."""

    async def reserve(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:
        """Reserve all items at current prices, or none.

        Raises OutOfStock with the product, and Invalid for an unknown one and for mixed currencies.
        """

    async def confirm(self, order_id: UUID) -> None:
        """Keep the reservation until it is released. Idempotent. Raises ReservationExpired."""

    async def release(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> None:
        """Release the stock of an order, if the transaction commits."""


class LocalStock(StockService):
    """The order is the reservation: both are one transaction, so it never expires."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def reserve(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:  # noqa: ARG002  # the signature of StockService
        """Decrement the stock of each product, in the order of their ids to avoid deadlocks.

        Each is one conditional UPDATE: stock is never negative. After an error the caller must roll back.
        """
        now = datetime.now(UTC)
        reserved = {}
        for product_id, quantity in sorted(quantities.items()):
            found = await tx.find(queries.reserve_stock, product_id=product_id, quantity=quantity, now=now)
            if found is None:
                raise await _unavailable(tx, product_id, list(quantities).index(product_id))
            self._cache.invalidate(tx, *tags_of(product_id))
            reserved[product_id] = ReservedItem(product_id, quantity, found.name, found.price_cents, found.currency)
        items = [reserved[product_id] for product_id in quantities]
        _refuse_mixed_currencies(items)
        return items

    async def confirm(self, order_id: UUID) -> None:
        """Nothing to do."""

    async def release(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> None:  # noqa: ARG002  # as above
        await self.give_back(tx, quantities)

    async def give_back(self, tx: Transaction, quantities: Mapping[UUID, int]) -> None:
        """Increment the stock of each product. Deleted products are skipped."""
        now = datetime.now(UTC)
        for product_id, quantity in sorted(quantities.items()):
            await tx.run(queries.release_stock, product_id=product_id, quantity=quantity, now=now)
            self._cache.invalidate(tx, *tags_of(product_id))


async def _unavailable(tx: Transaction, product_id: UUID, index: int) -> Invalid | OutOfStock:
    name = await tx.find(queries.name_of, id=product_id)
    path = f"$.items[{index}].product_id"
    if name is None:
        return Invalid(errors=[FieldError(path, "unknown product")])
    return OutOfStock(f"Not enough stock of {name}.", errors=[FieldError(path, f"not enough stock of {name}")])


def _refuse_mixed_currencies(items: list[ReservedItem]) -> None:
    first = items[0].currency
    others = [
        FieldError(f"$.items[{index}].product_id", f"priced in {item.currency}; the order is in {first}")
        for index, item in enumerate(items)
        if item.currency != first
    ]
    if others:
        raise Invalid(errors=others)
