"""Payment settlement of orders: charges pending orders, and reverses the payment of cancelled ones.

Runs as a job. Every step is idempotent: a retry continues from the stored state.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.cache import Cache
from restwell.database import Database, Transaction
from restwell.ids import min_id_at
from restwell.jobs import JobContext, Jobs, job
from shop.orders import queries
from shop.orders.jobs import send_confirmation, send_expired, send_payment_failed
from shop.orders.models import OrderStatus
from shop.orders.queries import StoredOrder
from shop.orders.tags import orders_tag
from shop.payments.models import OrderKey, PaymentState
from shop.payments.service import Charge, PaymentService
from shop.products.stock import ReservationExpired, StockService

OVERDUE_AFTER: Final = timedelta(hours=1)
"""An order that is still unsettled after this time is settled again: its job is dead."""


class Settlement:
    def __init__(
        self, database: Database, cache: Cache, jobs: Jobs, stock: StockService, payments: PaymentService
    ) -> None:
        self._database = database
        self._cache = cache
        self._jobs = jobs
        self._stock = stock
        self._payments = payments

    async def settle(self, user_id: UUID, order_id: UUID) -> None:
        """Charge a pending order, or reverse the payment of a cancelled one. Idempotent.

        An order whose reservation has expired is cancelled. Raises GatewayUnavailable, GatewayRejected, and
        ServiceUnavailable for a catalogue that is down.
        """
        order = await self._database.primary.one(queries.of_user_by_id, user_id=user_id, id=order_id)
        if order.status == OrderStatus.CANCELLED:
            await self._reverse(order)
        elif order.status == OrderStatus.PENDING:
            try:
                await self._stock.confirm(order.id)
            except ReservationExpired:
                await self._database.in_transaction(lambda tx: self._cancel(tx, order))
                return
            state = await self._charge(order)
            if state is not None:
                await self._database.in_transaction(lambda tx: self._record(tx, order, state))

    async def enqueue(self, tx: Transaction, order: OrderKey) -> None:
        """Enqueue the settlement of an order, in the caller's transaction."""
        await self._jobs.enqueue(tx, settle_order, user_id=order.user_id, order_id=order.order_id)

    async def settle_overdue(self) -> None:
        """Enqueue a job for each overdue order, for example after an outage of the gateway."""
        before = datetime.now(UTC) - OVERDUE_AFTER
        pending = await self._database.primary.all(queries.pending_before, before=min_id_at(before))
        async with self._database.transaction() as tx:
            for overdue in pending + await self._payments.list_stale_reversals(tx, before):
                job_options = settle_order.with_options(unique_key=f"settle {overdue.order_id}")
                await self._jobs.enqueue(tx, job_options, user_id=overdue.user_id, order_id=overdue.order_id)

    async def _charge(self, order: StoredOrder) -> PaymentState | None:
        if not order.total_cents:
            return PaymentState.PAID

        async def is_pending(tx: Transaction) -> bool:
            """Lock the order until the transaction ends. Serialises settlement and cancellation."""
            found = await tx.find(queries.lock_pending, user_id=order.user_id, id=order.id)
            return found is not None

        return await self._payments.charge(
            Charge(order.user_id, order.id, order.total_cents, order.currency), is_pending
        )

    async def _record(self, tx: Transaction, order: StoredOrder, state: PaymentState) -> None:
        paid = state is PaymentState.PAID
        status = OrderStatus.PAID if paid else OrderStatus.FAILED
        if not await tx.run(queries.settle, match_user_id=order.user_id, order_id=order.id, status=status):
            return  # cancelled concurrently: the job of the cancellation refunds it
        self._cache.invalidate(tx, orders_tag(order.user_id))
        await self._payments.record_state(tx, order.user_id, order.id, state)
        if not paid:
            lines = await tx.all(queries.lines_of_user, user_id=order.user_id, order_ids=[order.id])
            await self._stock.release(tx, order.id, {line.product_id: line.quantity for line in lines})
        mail = send_confirmation if paid else send_payment_failed
        await self._jobs.enqueue(tx, mail, user_id=order.user_id, order_id=order.id)

    async def _cancel(self, tx: Transaction, order: StoredOrder) -> None:
        """Cancel an order without stock. It was not charged before: that a payment is reversed is a precaution."""
        if await tx.run(queries.cancel, match_user_id=order.user_id, order_id=order.id, now=datetime.now(UTC)):
            self._cache.invalidate(tx, orders_tag(order.user_id))
            await self._payments.record_state(tx, order.user_id, order.id, PaymentState.REVERSING)
            await self.enqueue(tx, OrderKey(order.user_id, order.id))
            await self._jobs.enqueue(tx, send_expired, user_id=order.user_id, order_id=order.id)

    async def _reverse(self, order: StoredOrder) -> None:
        state = await self._payments.reverse(order.user_id, order.id)
        if state is not None:
            async with self._database.transaction() as tx:
                await self._payments.record_state(tx, order.user_id, order.id, state)


@job(queue="payments", max_attempts=10, timeout_seconds=60, priority=10)
async def settle_order(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(Settlement).settle(user_id, order_id)


@job(queue="payments", cron="7 * * * *")
async def settle_overdue_orders(context: JobContext) -> None:
    await context.get(Settlement).settle_overdue()
