"""Rules of stock: what orders take and cancellations put back, always inside their own transaction."""

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
    code, message = "out_of_stock", "Not enough of a product is left."


class StockService:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def reserve(
        self, tx: Transaction, quantities: Mapping[UUID, int], now: datetime
    ) -> dict[UUID, ReservedProduct]:
        """Take the stock of every product, in the order of their ids, so that two orders never wait for each other.

        Each is one conditional UPDATE: stock never falls below zero. Raises OutOfStock naming the product, or Invalid
        for one that does not exist; the caller's transaction then takes nothing.
        """
        taken = {}
        for product_id, quantity in sorted(quantities.items()):
            line = await tx.find(queries.reserve_stock, product_id=product_id, quantity=quantity, now=now)
            if line is None:
                await self._refuse(tx, product_id, list(quantities).index(product_id))
            else:
                taken[product_id] = line
                self._cache.invalidate(tx, *tags_of(product_id, line.category))
        return taken

    async def release(self, tx: Transaction, quantities: Mapping[UUID, int], now: datetime) -> None:
        """Return what an order took. A product that has left the catalogue is passed over."""
        for product_id, quantity in sorted(quantities.items()):
            category = await tx.find(queries.release_stock, product_id=product_id, quantity=quantity, now=now)
            if category is not None:
                self._cache.invalidate(tx, *tags_of(product_id, category))

    async def _refuse(self, tx: Transaction, product_id: UUID, index: int) -> None:
        name = await tx.find(queries.name_of, id=product_id)
        path = f"$.items[{index}].product_id"
        if name is None:
            raise Invalid(errors=[FieldError(path, "no such product")])
        raise OutOfStock(f"Not enough of {name} is left.", errors=[FieldError(path, f"not enough of {name} is left")])
