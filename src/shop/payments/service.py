"""Rules of payments: an order is charged at most once, and what is not wanted any more is given back once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from restwell.database import Database, Transaction
from shop.orders.models import OrderKey
from shop.payments import queries
from shop.payments.gateway import Gateway, Outcome
from shop.payments.models import PaymentState

StillPayable = Callable[[Transaction], Awaitable[bool]]


class Charge(Struct, frozen=True):
    """What an order costs."""

    user_id: UUID
    order_id: UUID
    total_cents: int
    currency: str


class PaymentService:
    """All of it may be repeated, and done by several at once. Where the gateway gives no clear answer, it raises what the gateway raises."""

    def __init__(self, database: Database, gateway: Gateway) -> None:
        self._database = database
        self._gateway = gateway

    async def charge(self, due: Charge, still_payable: StillPayable) -> PaymentState | None:
        """Have it paid, and say whether it is, unless it turns out, in the transaction given to ``still_payable``, that nobody wants that any more: then None.

        The payment's id is stored before any money moves, and in a transaction that sees the order as it is. So whoever cancels the
        order later finds it, and stops it at the gateway.
        """
        payment = await self._database.primary.find(queries.of_order, user_id=due.user_id, order_id=due.order_id)
        if payment is None:
            gateway_id = await self._gateway.prepare(
                str(due.order_id), due.total_cents, due.currency, f"Order {due.order_id}"
            )
            if not await self._database.in_transaction(lambda tx: self._store(tx, due, gateway_id, still_payable)):
                return None
        else:
            gateway_id = payment.gateway_id
        return PaymentState(await self._gateway.confirm(gateway_id))

    async def record_state(self, tx: Transaction, user_id: UUID, order_id: UUID, state: PaymentState) -> None:
        """Write down what has become of it."""
        await tx.run(queries.set_state, owner_id=user_id, match_order_id=order_id, state=state, now=datetime.now(UTC))

    async def reverse(self, user_id: UUID, order_id: UUID) -> PaymentState | None:
        """Keep no money for it, now or later; None where none was asked for."""
        payment = await self._database.primary.find(queries.of_order, user_id=user_id, order_id=order_id)
        if payment is None:
            return None
        if await self._gateway.cancel(payment.gateway_id) is not Outcome.PAID:
            return PaymentState.CANCELLED
        await self._gateway.refund(payment.gateway_id)
        return PaymentState.REFUNDED

    async def list_stale_reversals(self, tx: Transaction, before: datetime) -> list[OrderKey]:
        """Those that should have been undone by then."""
        return await tx.all(queries.reversing, before=before)

    async def _store(self, tx: Transaction, due: Charge, gateway_id: str, still_payable: StillPayable) -> bool:
        if not await still_payable(tx):
            return False
        now = datetime.now(UTC)
        await tx.run(
            queries.insert_payment,
            user_id=due.user_id,
            order_id=due.order_id,
            gateway_id=gateway_id,
            state=PaymentState.PREPARED,
            created_at=now,
            updated_at=now,
        )
        return True
