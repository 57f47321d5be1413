"""Webhook events of the payment gateway. They settle a payment sooner than the scheduled job."""

from datetime import UTC, datetime

from restwell.database import Database, Transaction
from restwell.errors import AppError, NotFound
from restwell.jobs import Jobs
from shop.orders.settlement import settle_order
from shop.payments import queries
from shop.payments.schemas import PaymentEvent
from shop.payments.stripe import is_valid_signature


class InvalidSignature(AppError):
    code, status = "invalid_signature", 400
    message = "The signature is invalid, or its timestamp is more than five minutes off."


class PaymentEvents:
    """An event only triggers settlement, which reads the payment from the gateway. Its content is not trusted."""

    def __init__(self, database: Database, jobs: Jobs, secret: str | None) -> None:
        self._database = database
        self._jobs = jobs
        self._secret = secret

    async def receive(self, event: PaymentEvent, body: bytes, signature: str) -> None:
        """Enqueue the settlement of the order, once per event id.

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
            await self._jobs.enqueue(tx, settle_order, user_id=order_key.user_id, order_id=order_key.order_id)
