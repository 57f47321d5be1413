"""Rules of buying."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Executor, Transaction
from restwell.errors import FieldError, Invalid, NotFound
from restwell.ids import new_id
from restwell.jobs import Jobs
from restwell.web import Cursors, Page, PageFilter
from shop.orders import queries
from shop.orders.models import OrderStatus
from shop.orders.queries import StoredOrder
from shop.orders.schemas import Order, OrderCreateRequest, OrderItem
from shop.orders.settlement import settle_order
from shop.orders.tags import orders_tag
from shop.payments.models import PaymentState
from shop.payments.service import PaymentService
from shop.products.stock import ReservedProduct, StockService
from shop.users.models import Role

CACHE_TTL_SECONDS: Final = 60
_LIST: Final = "orders"


class OrderService:
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

    async def place(self, tx: Transaction, actor: Actor, draft: OrderCreateRequest) -> Order:
        """Place an order: take the stock of every line or of none.

        Raises OutOfStock naming the product, Invalid for a product that does not exist, is listed twice, or has another currency
        than the rest.
        """
        _refuse_repeats(draft)
        now = datetime.now(UTC)
        taken = await self._stock.reserve(tx, {line.product_id: line.quantity for line in draft.items}, now)
        _refuse_mixed_currencies(draft, taken)
        lines = [
            OrderItem(line.product_id, product.name, product.price_cents, line.quantity)
            for line in draft.items
            for product in (taken[line.product_id],)
        ]
        order = Order(
            id=new_id(),
            status=OrderStatus.PENDING,
            items=lines,
            total_cents=sum(line.unit_price_cents * line.quantity for line in lines),
            currency=taken[lines[0].product_id].currency,
            created_at=now,
        )
        self._cache.invalidate(tx, orders_tag(actor.id))
        tx.defer(
            queries.insert_order,
            user_id=actor.id,
            id=order.id,
            status=order.status,
            total_cents=order.total_cents,
            currency=order.currency,
            created_at=now,
        )
        for position, line in enumerate(lines):
            tx.defer(
                queries.insert_line,
                user_id=actor.id,
                order_id=order.id,
                position=position,
                product_id=line.product_id,
                name=line.name,
                unit_price_cents=line.unit_price_cents,
                quantity=line.quantity,
            )
        await self._jobs.enqueue(tx, settle_order, user_id=actor.id, order_id=order.id)
        return order

    async def get_order(self, actor: Actor, order_id: UUID) -> Order:
        """One of the caller's orders; for an admin, anyone's. Raises NotFound for another's as for none."""
        if _sees_all(actor):
            return await self._read(actor, order_id)
        order = await self._cache.get_or_load(
            f"order:{actor.id}:{order_id}",
            lambda: self._find(actor, order_id),
            kind=Order | None,
            tags=[orders_tag(actor.id)],
            ttl_seconds=CACHE_TTL_SECONDS,
        )
        if order is None:
            raise NotFound
        return order

    async def list_orders(self, actor: Actor, filters: PageFilter) -> Page[Order]:
        """The caller's orders, newest first; for an admin, everyone's."""
        scope = _LIST if _sees_all(actor) else f"{_LIST} {actor.id}"
        arguments: dict[str, object] = {"count": filters.limit + 1}
        if not _sees_all(actor):
            arguments["user_id"] = actor.id
        if filters.cursor is not None:
            (arguments["before"],) = self._cursors.decode(scope, filters.cursor, tuple[UUID])
        pages = {
            (True, True): queries.next_page,
            (True, False): queries.first_page,
            (False, True): queries.next_page_of_user,
            (False, False): queries.first_page_of_user,
        }
        rows = await self._database.all(pages[_sees_all(actor), filters.cursor is not None], **arguments)
        page = self._cursors.page(scope, rows, filters.limit, lambda order: (order.id,))
        return Page(await self._with_lines(self._database, page.items), page.next_cursor)

    async def cancel(self, actor: Actor, order_id: UUID) -> Order:
        """Cancel an order, put its stock back and give back what was paid, once: cancelling again changes nothing.

        An order that failed stays failed. Raises NotFound.
        """
        return await self._database.in_transaction(lambda tx: self._cancel(tx, actor, order_id))

    async def _cancel(self, tx: Transaction, actor: Actor, order_id: UUID) -> Order:
        order = await self._visible(tx, actor, order_id)
        now = datetime.now(UTC)
        cancelled = await tx.run(queries.cancel, owner_id=order.user_id, order_id=order.id, now=now)
        (placed,) = await self._with_lines(tx, [order])
        if cancelled:
            self._cache.invalidate(tx, orders_tag(order.user_id))
            await self._stock.release(tx, {line.product_id: line.quantity for line in placed.items}, now)
            await self._payments.record_state(tx, order.user_id, order.id, PaymentState.REVERSING)
            await self._jobs.enqueue(tx, settle_order, user_id=order.user_id, order_id=order.id)
            return replace(placed, status=OrderStatus.CANCELLED)
        now_it_is = await self._visible(tx, actor, order_id)  # another may have come in between
        return replace(placed, status=now_it_is.status)

    async def _read(self, actor: Actor, order_id: UUID) -> Order:
        return (await self._with_lines(self._database, [await self._visible(self._database, actor, order_id)]))[0]

    async def _find(self, actor: Actor, order_id: UUID) -> Order | None:
        try:
            return await self._read(actor, order_id)
        except NotFound:
            return None

    async def _visible(self, executor: Executor, actor: Actor, order_id: UUID) -> StoredOrder:
        if _sees_all(actor):
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
        if len(owners) == 1:  # then only their partition is asked
            stored = await executor.all(queries.lines_of_user, user_id=owners.pop(), order_ids=order_ids)
        else:
            stored = await executor.all(queries.lines_of, order_ids=order_ids)
        for line in stored:
            lines[line.order_id].append(OrderItem(line.product_id, line.name, line.unit_price_cents, line.quantity))
        return [
            Order(order.id, order.status, lines[order.id], order.total_cents, order.currency, order.created_at)
            for order in orders
        ]


def _refuse_repeats(draft: OrderCreateRequest) -> None:
    seen: set[UUID] = set()
    repeats = []
    for index, line in enumerate(draft.items):
        if line.product_id in seen:
            repeats.append(FieldError(f"$.items[{index}].product_id", "listed before; add up the quantities"))
        seen.add(line.product_id)
    if repeats:
        raise Invalid(errors=repeats)


def _refuse_mixed_currencies(draft: OrderCreateRequest, taken: dict[UUID, ReservedProduct]) -> None:
    first = taken[draft.items[0].product_id].currency
    others = [
        FieldError(f"$.items[{index}].product_id", f"priced in {currency}; the order is in {first}")
        for index, line in enumerate(draft.items)
        if (currency := taken[line.product_id].currency) != first
    ]
    if others:
        raise Invalid(errors=others)


def _sees_all(actor: Actor) -> bool:
    """A machine that came so far has the scope for it."""
    return actor.is_machine or actor.role == Role.ADMIN
