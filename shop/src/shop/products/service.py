from asyncio import gather
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import asdict

from restwell.cache import Cache, CachedPages
from restwell.database import Database, Transaction
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.pages import Cursors, Page
from restwell.polling import poll_changes
from restwell.web import check_version
from shop.products import queries
from shop.products.queries import ListShape, ProductVersion
from shop.products.schemas import (
    PartialProduct,
    Product,
    ProductCreateRequest,
    ProductFilter,
    ProductUpdateRequest,
    parse_fields,
)
from shop.products.tags import ALL, list_tags, tags_of

CACHE_TTL_SECONDS: Final = 60


class ProductService:
    def __init__(self, database: Database, cache: Cache, cursors: Cursors) -> None:
        self._database = database
        self._cache = cache
        self._pages = CachedPages(
            database, cache, cursors, queries.by_id, tag="product:{}".format, ttl_seconds=CACHE_TTL_SECONDS
        )

    async def list_products(self, filters: ProductFilter) -> Page[Product] | Page[PartialProduct]:
        """Return a page, of partial products if ``filters.fields`` is set. Raises Invalid for an unknown field."""
        fields = parse_fields(filters.fields, Product) if filters.fields is not None else None
        arguments: dict[str, Any] = {}
        if filters.q is not None:
            arguments["q"] = queries.search_text(self._database.dialect, filters.q)
            if arguments["q"] is None:
                return Page([], None)
        arguments |= {
            name: value
            for name in ("category", "min_price", "max_price")
            if (value := getattr(filters, name)) is not None
        }
        shape = ListShape(
            sort=filters.sort,
            fields=fields,
            **{name: name in arguments for name in ("category", "q", "min_price", "max_price")},
        )
        page = await self._pages.fetch(queries.page(shape), filters, list_tags(asdict(filters)), **arguments)
        return page if fields is None else page.map(lambda row: PartialProduct(**{name: row[name] for name in fields}))

    async def list_categories(self) -> list[str]:
        """Return the categories that have products, in alphabetical order."""
        return await self._cache.get_or_load(
            "categories",
            lambda: self._database.all(queries.categories),
            kind=list[str],
            tags=[ALL],
            ttl_seconds=CACHE_TTL_SECONDS,
        )

    async def get_product(self, product_id: UUID) -> Product:
        product = await self._find(product_id)
        if product is None:
            raise NotFound
        return product

    async def _find(self, product_id: UUID) -> Product | None:
        return await self._database.find(queries.by_id, id=product_id)

    async def watch(self, product_ids: Sequence[UUID]) -> AsyncIterator[tuple[UUID, Product | None]]:
        """Yield each product, and again whenever it has changed; None if it does not exist, or not any more."""
        versions: dict[UUID, int] = {}
        async for products in poll_changes(lambda: gather(*map(self._find, product_ids))):
            for product_id, product in zip(product_ids, products, strict=True):
                version = product.version if product is not None else 0
                if versions.get(product_id) != version:
                    versions[product_id] = version
                    yield product_id, product

    async def create_product(self, draft: ProductCreateRequest) -> Product:
        now = datetime.now(UTC)
        async with self._database.transaction() as tx:
            product = await tx.one(
                queries.insert_product, id=new_id(), version=1, created_at=now, updated_at=now, **asdict(draft)
            )
            self._cache.invalidate(tx, *tags_of(product.id, product.category))
        return product

    async def update_product(
        self, product_id: UUID, patch: ProductUpdateRequest, expected: frozenset[int] | None
    ) -> Product:
        """Update a product. Raises NotFound, and PreconditionFailed if its version is not an expected one."""
        values = {
            name: None if value is UNSET else value
            for name in ("name", "description", "category", "price_cents", "currency", "stock")
            for value in (getattr(patch, name),)
        }
        if patch.description is None:
            values["description"] = ""  # null removes a member (RFC 7396): the default is an empty description
        async with self._database.transaction() as tx:
            before = await self._lock(tx, product_id, expected)
            changed = await tx.one(queries.update_product, product_id=product_id, now=datetime.now(UTC), **values)
            categories = () if patch == ProductUpdateRequest(stock=patch.stock) else (before.category, changed.category)
            self._cache.invalidate(tx, *tags_of(product_id, *categories))
        return changed

    async def delete_product(self, product_id: UUID, expected: frozenset[int] | None) -> None:
        """Delete a product. Existing orders keep its name and price. Raises NotFound, PreconditionFailed."""
        async with self._database.transaction() as tx:
            product = await self._lock(tx, product_id, expected)
            await tx.run(queries.delete, product_id=product_id)
            self._cache.invalidate(tx, *tags_of(product_id, product.category))

    async def lock_in(self, tx: Transaction, product_id: UUID) -> ProductVersion:
        """Lock the product until the caller's transaction ends. Raises NotFound."""
        current = await tx.find(queries.lock, product_id=product_id)
        if current is None:
            raise NotFound
        return current

    async def _lock(self, tx: Transaction, product_id: UUID, expected: frozenset[int] | None) -> ProductVersion:
        """Lock the product until the transaction ends. Raises NotFound, PreconditionFailed."""
        current = await self.lock_in(tx, product_id)
        check_version(current.version, expected)
        return current
