"""The shop while its catalogue moves to another service (``split.py``): deployed for the dual run, removed at the end.

It stays one process with all routes. Each read of products is also asked of the catalogue at COMPARE_URL, and compared.
Stock is taken where the row of ``catalogue_move`` says: here, or at STOCK_URL. Each transaction reads it, so that a
lock of that table holds them all while it changes.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec
import structlog
from msgspec.structs import replace
from sqlalchemy import Boolean, column, select, table

from restwell import App, Project, Restwell
from restwell.cache import Cache
from restwell.database import Database, Transaction, query
from restwell.errors import ServiceUnavailable
from restwell.grpc import GrpcClient
from restwell.jobs import Jobs
from restwell.pages import Cursors, Page
from shop import app
from shop.products import queries
from shop.products.queries import ProductVersion
from shop.products.remote import RemoteStock, StockClient, release_stock
from shop.products.schemas import PartialProduct, Product, ProductCreateRequest, ProductFilter
from shop.products.service import ProductService
from shop.products.stock import LocalStock, ReservedItem, StockService
from shop.settings import ShopSettings
from shop.v1 import catalog_pb2 as pb
from shop.v1.catalog_pb2_grpc import CatalogServiceStub

AGREE_SECONDS = 30
"""A change reaches the other database a moment later. What differs in one version, or for longer, is a difference."""
MAX_COMPARISONS = 8
"""At once. Further reads are not compared."""

log = structlog.get_logger("strangler")
has_moved = query(
    "strangler.has_moved", select(column("done", Boolean)).select_from(table("catalogue_move")), into=bool
)


class MovingStock(StockService):
    """Local stock has a reservation for each order too, as the catalogue needs it to release the order's stock."""

    def __init__(self, database: Database, local: LocalStock, remote: RemoteStock) -> None:
        self._database = database
        self._local = local
        self._remote = remote

    async def reserve(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:
        if await tx.one(has_moved):
            return await self._remote.reserve(tx, order_id, quantities)
        items = await self._local.reserve(tx, order_id, quantities)
        lines = msgspec.json.encode(items).decode()
        await tx.find(queries.insert_reservation, id=order_id, lines=lines, expires_at=None)
        return items

    async def confirm(self, order_id: UUID) -> None:
        if await self._database.one(has_moved):
            await self._remote.confirm(order_id)

    async def release(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> None:
        if await tx.one(has_moved):
            await self._remote.release(tx, order_id, quantities)
        else:
            await tx.find(queries.delete_reservation, match_id=order_id)
            await self._local.release(tx, order_id, quantities)


class Seen:
    """What a catalogue has answered: the content of products that have the same versions is the same too."""

    def __init__(self, found: Sequence[Product | PartialProduct | None], *, stock: bool = True) -> None:
        products = [each for each in found if isinstance(each, Product)]
        self.versions = [(each.id, each.version) for each in products]
        self.content = products if stock else [_without_stock(each) for each in products]


def _without_stock(product: Product) -> Product:
    return replace(product, stock=0, version=0, updated_at=product.created_at)


class Catalogue:
    """Reads of the other catalogue."""

    def __init__(self, client: GrpcClient) -> None:
        self._client = client

    async def get(self, product_id: UUID) -> Product:
        answer = await self._client.call("GetProduct", pb.GetProductRequest(product_id=str(product_id)))
        return _product(answer.product)

    async def list(self, filters: ProductFilter) -> list[Product]:
        request = pb.ListProductsRequest(category=filters.category, limit=filters.limit)
        return [_product(each) for each in (await self._client.call("ListProducts", request)).items]


class ComparedProducts(ProductService):
    def __init__(self, database: Database, cache: Cache, cursors: Cursors, catalogue: Catalogue) -> None:
        super().__init__(database, cache, cursors)
        self._catalogue = catalogue
        self._comparisons: set[asyncio.Task[None]] = set()

    async def get_product(self, product_id: UUID) -> Product:
        product = await super().get_product(product_id)

        async def here() -> Seen:
            return Seen([await self._find(product_id)])

        async def there() -> Seen:
            return Seen([await self._catalogue.get(product_id)])

        self._compare(f"product {product_id}", here, there)
        return product

    async def list_products(self, filters: ProductFilter) -> Page[Product] | Page[PartialProduct]:
        """First pages are compared, without what orders change all the time. Cursors are valid in one service only."""
        page = await super().list_products(filters)

        async def here() -> Seen:
            return Seen((await super(ComparedProducts, self).list_products(filters)).items, stock=False)

        async def there() -> Seen:
            return Seen(await self._catalogue.list(filters), stock=False)

        if filters == ProductFilter(category=filters.category, limit=filters.limit):
            self._compare(f"products of {filters.category}", here, there)
        return page

    async def create_product(self, draft: ProductCreateRequest) -> Product:
        async with self._database.transaction(ambient=True) as tx:
            await _refuse_if_moved(tx)
            return await super().create_product(draft)

    async def lock_in(self, tx: Transaction, product_id: UUID) -> ProductVersion:
        await _refuse_if_moved(tx)
        return await super().lock_in(tx, product_id)

    def _compare(self, what: str, here: Callable[[], Awaitable[Seen]], there: Callable[[], Awaitable[Seen]]) -> None:
        """In the background, without the deadline of the request."""
        if len(self._comparisons) < MAX_COMPARISONS:
            task = asyncio.create_task(self._log_comparison(what, here, there), context=Context())
            self._comparisons.add(task)
            task.add_done_callback(self._comparisons.discard)

    async def _log_comparison(
        self, what: str, here: Callable[[], Awaitable[Seen]], there: Callable[[], Awaitable[Seen]]
    ) -> None:
        ends = time.monotonic() + AGREE_SECONDS
        while time.monotonic() < ends:
            with suppress(ServiceUnavailable):
                if await self._database.one(has_moved):
                    return  # what is here is not changed any more
                ours, theirs = await asyncio.gather(here(), there())
                if ours.content == theirs.content:
                    log.info("catalogue_agrees", what=what)
                    return
                if ours.versions == theirs.versions:
                    break  # no change is on its way
            await asyncio.sleep(0.05)
        log.error("catalogue_differs", what=what)


async def _refuse_if_moved(tx: Transaction) -> None:
    """The client repeats the change, and the proxy sends it to the catalogue."""
    if await tx.one(has_moved):
        raise ServiceUnavailable


def _product(message: Any) -> Product:
    same = ("name", "description", "category", "price_cents", "currency", "stock", "version")
    return Product(
        id=UUID(message.id),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        **{name: getattr(message, name) for name in same},
    )


def _catalogue(kit: Restwell) -> Catalogue:
    client = GrpcClient(CatalogServiceStub, os.environ["COMPARE_URL"], idempotent=True)
    return Catalogue(kit.close_on_shutdown(client))


def _stock_client(kit: Restwell, settings: ShopSettings) -> StockClient:
    return kit.close_on_shutdown(StockClient(os.environ["STOCK_URL"], settings.request.timeout_seconds / 2))


def _stock(database: Database, local: LocalStock, client: StockClient, jobs: Jobs) -> StockService:
    return MovingStock(database, local, RemoteStock(client, jobs))


def create_app(settings: ShopSettings) -> App:
    application = app.create_app(settings, replacements=[_catalogue, _stock_client, _stock, ComparedProducts])
    application.kit.jobs.register([release_stock])
    return application


shop = Project(name="shop", settings=ShopSettings, create_app=create_app)
