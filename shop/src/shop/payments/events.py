"""Webhook events of the payment gateway. They settle a payment sooner than the scheduled job."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from restwell.database import Database, Transaction
from restwell.errors import AppError, NotFound
from restwell.retention import DeletesExpired
from shop.payments import queries
from shop.payments.models import OrderKey
from shop.payments.schemas import PaymentEvent
from shop.payments.stripe import is_valid_signature

RETENTION: Final = timedelta(days=7)
"""Longer than a gateway retries an undelivered event (Stripe: three days)."""


class InvalidSignature(AppError):
    code, status = "invalid_signature", 400
    message = "The signature is invalid, or its timestamp is more than five minutes off."


class PaymentEvents(DeletesExpired):
    """An event only triggers ``settle``, which reads the payment from the gateway. Its content is not trusted.

    ``settle`` is called in the transaction that stores the event.
    """

    def __init__(
        self, database: Database, secret: str | None, settle: Callable[[Transaction, OrderKey], Awaitable[None]]
    ) -> None:
        self._database = database
        self._secret = secret
        self._settle = settle

    async def receive(self, event: PaymentEvent, body: bytes, signature: str) -> None:
        """Settle the order, once per event id.

        Raises InvalidSignature; NotFound without a secret.
        """
        if self._secret is None:
            raise NotFound
        if not is_valid_signature(signature, body, self._secret):
            raise InvalidSignature
        await self._database.in_transaction(lambda tx: self._record(tx, event))

    async def _record(self, tx: Transaction, event: PaymentEvent) -> None:
        if await tx.find(queries.insert_event, id=event.id, received_at=datetime.now(UTC)) is None:
            return  # a duplicate delivery
        payment_object = event.data.object
        order_key = await tx.find(queries.of_gateway_id, gateway_id=payment_object.payment_intent or payment_object.id)
        if order_key is not None:
            await self._settle(tx, order_key)

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of old event ids. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now - RETENTION)
