"""What the gateway tells of by itself: a payment is settled sooner than by asking for it."""

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
    message = "The event is not signed by the gateway, or was signed more than five minutes ago."


class PaymentEvents:
    """An event only says where to look: what has happened is asked of the gateway. So a false one could do no harm either."""

    def __init__(self, database: Database, jobs: Jobs, secret: str | None) -> None:
        self._database = database
        self._jobs = jobs
        self._secret = secret

    async def receive(self, event: PaymentEvent, body: bytes, signature: str) -> None:
        """Have the order of the payment settled; once for each event. Raises InvalidSignature; NotFound without a secret."""
        if self._secret is None:
            raise NotFound
        if not is_valid_signature(signature, body, self._secret):
            raise InvalidSignature
        await self._database.in_transaction(lambda tx: self._note(tx, event))

    async def _note(self, tx: Transaction, event: PaymentEvent) -> None:
        if await tx.find(queries.insert_event, id=event.id, received_at=datetime.now(UTC)) is None:
            return  # it was sent before
        subject = event.data.object
        paid = await tx.find(queries.of_gateway_id, gateway_id=subject.payment_intent or subject.id)
        if paid is not None:
            await self._jobs.enqueue(tx, settle_order, user_id=paid.user_id, order_id=paid.order_id)
