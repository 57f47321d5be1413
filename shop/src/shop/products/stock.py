"""Stock changes of orders and cancellations, in the caller's transaction."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from restwell.cache import Cache
from restwell.database import Transaction
from restwell.errors import Conflict, FieldError, Invalid
from shop.products import queries
from shop.products.queries import ReservedProduct
from shop.products.tags import tags_of

__all__ = ["OutOfStock", "ReservedProduct", "StockService"]


class OutOfStock(Conflict):
    code, message = "out_of_stock", "Not enough stock of a product."


class StockService:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def reserve(
        self, tx: Transaction, quantities: Mapping[UUID, int], now: datetime
    ) -> dict[UUID, ReservedProduct]:
        """Decrement the stock of each product, in the order of their ids to avoid deadlocks.

        Each is one conditional UPDATE: stock is never negative. Raises OutOfStock with the product, or Invalid for an
        unknown one; the caller must roll back.
        """
        reserved = {}
        for product_id, quantity in sorted(quantities.items()):
            line = await tx.find(queries.reserve_stock, product_id=product_id, quantity=quantity, now=now)
            if line is None:
                await self._raise_unavailable(tx, product_id, list(quantities).index(product_id))
            else:
                reserved[product_id] = line
                self._cache.invalidate(tx, *tags_of(product_id))
        return reserved

    async def release(self, tx: Transaction, quantities: Mapping[UUID, int], now: datetime) -> None:
        """Increment the stock by the quantities of an order. Deleted products are skipped."""
        for product_id, quantity in sorted(quantities.items()):
            await tx.run(queries.release_stock, product_id=product_id, quantity=quantity, now=now)
            self._cache.invalidate(tx, *tags_of(product_id))

    async def _raise_unavailable(self, tx: Transaction, product_id: UUID, index: int) -> None:
        name = await tx.find(queries.name_of, id=product_id)
        path = f"$.items[{index}].product_id"
        if name is None:
            raise Invalid(errors=[FieldError(path, "unknown product")])
        raise OutOfStock(f"Not enough stock of {name}.", errors=[FieldError(path, f"not enough stock of {name}")])
