"""Charges an order at most once, and cancels or refunds it at most once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from restwell.database import Database, Transaction
from shop.payments import queries
from shop.payments.gateway import Gateway, Outcome
from shop.payments.models import OrderKey, PaymentState

StillPayable = Callable[[Transaction], Awaitable[bool]]


class Charge(Struct, frozen=True):
    """An order and the amount to charge for it."""

    user_id: UUID
    order_id: UUID
    total_cents: int
    currency: str


class PaymentService:
    """Every method is idempotent and safe to run concurrently. Raises GatewayUnavailable and GatewayRejected."""

    def __init__(self, database: Database, gateway: Gateway) -> None:
        self._database = database
        self._gateway = gateway

    async def charge(self, charge: Charge, still_payable: StillPayable) -> PaymentState | None:
        """Charge an order and return the state of its payment. Returns None if the order is no longer payable.

        The payment's id is stored before the charge, in the transaction in which ``still_payable`` checks the order. A
        later cancellation finds the id and cancels the payment at the gateway.
        """
        payment = await self._database.primary.find(queries.of_order, user_id=charge.user_id, order_id=charge.order_id)
        if payment is None:
            gateway_id = await self._gateway.prepare(
                str(charge.order_id), charge.total_cents, charge.currency, f"Order {charge.order_id}"
            )
            if not await self._database.in_transaction(lambda tx: self._store(tx, charge, gateway_id, still_payable)):
                return None
        else:
            gateway_id = payment.gateway_id
        return PaymentState(await self._gateway.confirm(gateway_id))

    async def record_state(self, tx: Transaction, user_id: UUID, order_id: UUID, state: PaymentState) -> None:
        """Store the state of the payment in the caller's transaction."""
        await tx.run(
            queries.set_state, match_user_id=user_id, match_order_id=order_id, state=state, now=datetime.now(UTC)
        )

    async def reverse(self, user_id: UUID, order_id: UUID) -> PaymentState | None:
        """Cancel or refund the payment of an order. Returns None if the order has no payment."""
        payment = await self._database.primary.find(queries.of_order, user_id=user_id, order_id=order_id)
        if payment is None:
            return None
        if await self._gateway.cancel(payment.gateway_id) is not Outcome.PAID:
            return PaymentState.CANCELLED
        await self._gateway.refund(payment.gateway_id)
        return PaymentState.REFUNDED

    async def list_stale_reversals(self, tx: Transaction, before: datetime) -> list[OrderKey]:
        """Return the orders whose reversal started before the given time and is not finished."""
        return await tx.all(queries.reversing, before=before)

    async def _store(self, tx: Transaction, charge: Charge, gateway_id: str, still_payable: StillPayable) -> bool:
        if not await still_payable(tx):
            return False
        now = datetime.now(UTC)
        await tx.run(
            queries.insert_payment,
            user_id=charge.user_id,
            order_id=charge.order_id,
            gateway_id=gateway_id,
            state=PaymentState.PREPARED,
            created_at=now,
            updated_at=now,
        )
        return True
