from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec.structs import asdict, replace

from restwell.accounts import PersonalList
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Executor, Transaction
from restwell.errors import FieldError, Invalid, NotFound
from restwell.ids import new_id
from restwell.jobs import Jobs
from restwell.pages import Cursors, Page, PageFilter
from restwell.polling import poll_changes
from shop.access import Role
from shop.orders import queries
from shop.orders.models import OrderStatus, SoldLine
from shop.orders.queries import StoredOrder
from shop.orders.schemas import Order, OrderCreateRequest, OrderItem
from shop.orders.settlement import settle_order
from shop.orders.tags import orders_tag
from shop.payments.models import PaymentState
from shop.payments.service import PaymentService
from shop.products.stock import StockService

CACHE_TTL_SECONDS: Final = 60
FINAL: Final = frozenset({OrderStatus.FAILED, OrderStatus.CANCELLED})


class OrderService(PersonalList):
    member = "orders"

    def __init__(
        self,
        database: Database,
        cache: Cache,
        jobs: Jobs,
        cursors: Cursors,
        stock: StockService,
        payments: PaymentService,
    ) -> None:
        self._database = database
        self._cache = cache
        self._jobs = jobs
        self._cursors = cursors
        self._stock = stock
        self._payments = payments

    async def read_personal_page(self, owner: Actor, filters: PageFilter) -> Page[Order]:
        return await self.list_orders(owner, filters)

    async def place(self, actor: Actor, request: OrderCreateRequest) -> Order:
        """Create an order and reserve its stock, in one transaction; at another service, its stock first.

        Raises OutOfStock with the product, and Invalid for an unknown product, a duplicate item or mixed currencies.
        """
        _refuse_duplicates(request)
        return await self._database.in_transaction(lambda tx: self._place(tx, actor, request))

    async def _place(self, tx: Transaction, actor: Actor, request: OrderCreateRequest) -> Order:
        order_id = new_id()
        items = await self._stock.reserve(tx, order_id, {line.product_id: line.quantity for line in request.items})
        lines = [OrderItem(item.product_id, item.name, item.unit_price_cents, item.quantity) for item in items]
        order = StoredOrder(
            user_id=actor.id,
            id=order_id,
            status=OrderStatus.PENDING,
            total_cents=sum(line.unit_price_cents * line.quantity for line in lines),
            currency=items[0].currency,
            created_at=datetime.now(UTC),
        )
        self._cache.invalidate(tx, orders_tag(actor.id))
        tx.defer(queries.insert_order, **asdict(order))
        for position, line in enumerate(lines):
            tx.defer(queries.insert_line, user_id=actor.id, order_id=order.id, position=position, **asdict(line))
        await self._jobs.enqueue(tx, settle_order, user_id=actor.id, order_id=order.id)
        return _with_items(order, lines)

    async def get_order(self, actor: Actor, order_id: UUID) -> Order:
        """Return an order of the caller; admins and OAuth clients may read any.

        Raises NotFound, also for other users' orders.
        """
        if _can_read_all(actor):
            return await self._read(actor, order_id)
        return await self._cache.get_or_load(
            f"order:{actor.id}:{order_id}",
            lambda: self._read(actor, order_id),
            kind=Order,
            tags=[orders_tag(actor.id)],
            ttl_seconds=CACHE_TTL_SECONDS,
        )

    def watch(self, actor: Actor, order_id: UUID) -> AsyncIterator[Order]:
        """Yield the order, and again whenever it has changed, until it can change no more. Raises as ``get_order``."""
        return poll_changes(lambda: self.get_order(actor, order_id), until=lambda order: order.status in FINAL)

    async def list_orders(self, actor: Actor, filters: PageFilter) -> Page[Order]:
        """Return a page of the caller's orders, newest first; of all orders for admins and OAuth clients."""
        if _can_read_all(actor):
            page = await self._cursors.fetch(self._database, queries.page, filters)
        else:
            page = await self._cursors.fetch(self._database, queries.page_of_user, filters, user_id=actor.id)
        return Page(await self._with_lines(self._database, page.items), page.next_cursor)

    async def list_sold_lines(self, *, after: UUID, until: UUID, count: int) -> list[SoldLine]:
        """Return the lines of the next ``count`` orders with an id between ``after`` and ``until``, oldest first."""
        return await self._database.all(queries.sold_lines, after=after, until=until, count=count)

    async def cancel(self, actor: Actor, order_id: UUID) -> Order:
        """Cancel an order, release its stock and enqueue the refund. Idempotent. A failed order stays failed.

        Raises NotFound.
        """
        return await self._database.in_transaction(lambda tx: self._cancel(tx, actor, order_id))

    async def _cancel(self, tx: Transaction, actor: Actor, order_id: UUID) -> Order:
        order = await self._get_visible(tx, actor, order_id)
        now = datetime.now(UTC)
        cancelled = await tx.run(queries.cancel, match_user_id=order.user_id, order_id=order.id, now=now)
        (full_order,) = await self._with_lines(tx, [order])
        if cancelled:
            self._cache.invalidate(tx, orders_tag(order.user_id))
            await self._stock.release(tx, order.id, {line.product_id: line.quantity for line in full_order.items})
            await self._payments.record_state(tx, order.user_id, order.id, PaymentState.REVERSING)
            await self._jobs.enqueue(tx, settle_order, user_id=order.user_id, order_id=order.id)
            return replace(full_order, status=OrderStatus.CANCELLED)
        current = await self._get_visible(tx, actor, order_id)  # it may have changed concurrently
        return replace(full_order, status=current.status)

    async def _read(self, actor: Actor, order_id: UUID) -> Order:
        return (await self._with_lines(self._database, [await self._get_visible(self._database, actor, order_id)]))[0]

    async def _get_visible(self, executor: Executor, actor: Actor, order_id: UUID) -> StoredOrder:
        if _can_read_all(actor):
            order = await executor.find(queries.by_id, id=order_id)
        else:
            order = await executor.find(queries.of_user_by_id, user_id=actor.id, id=order_id)
        if order is None:
            raise NotFound
        return order

    async def _with_lines(self, executor: Executor, orders: Sequence[StoredOrder]) -> list[Order]:
        if not orders:
            return []
        lines: defaultdict[UUID, list[OrderItem]] = defaultdict(list)
        owners = {order.user_id for order in orders}
        order_ids = [order.id for order in orders]
        if len(owners) == 1:  # reads a single partition
            stored = await executor.all(queries.lines_of_user, user_id=owners.pop(), order_ids=order_ids)
        else:
            stored = await executor.all(queries.lines_of, order_ids=order_ids)
        for line in stored:
            lines[line.order_id].append(OrderItem(line.product_id, line.name, line.unit_price_cents, line.quantity))
        return [_with_items(order, lines[order.id]) for order in orders]


def _with_items(order: StoredOrder, items: list[OrderItem]) -> Order:
    return Order(order.id, order.status, items, order.total_cents, order.currency, order.created_at)


def _refuse_duplicates(request: OrderCreateRequest) -> None:
    product_ids = [line.product_id for line in request.items]
    duplicates = [
        FieldError(f"$.items[{index}].product_id", "duplicate product; add up the quantities")
        for index, product_id in enumerate(product_ids)
        if product_id in product_ids[:index]
    ]
    if duplicates:
        raise Invalid(errors=duplicates)


def _can_read_all(actor: Actor) -> bool:
    """The guard has checked the scope of OAuth clients."""
    return actor.is_machine or actor.role == Role.ADMIN
