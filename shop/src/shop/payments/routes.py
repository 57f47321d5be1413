from typing import Annotated, Final

from restwell.errors import NotFound
from restwell.rate_limits import Rate
from restwell.web import Controller, Header, Request, post
from shop.payments.events import InvalidSignature, PaymentEvents
from shop.payments.schemas import PaymentEvent

SIGNATURE = "Stripe-Signature"
PAYMENT_EVENTS: Final = Rate("payment_events", 3_000, seconds=60)
"""All events come from the payment gateway's addresses."""


class PaymentController(Controller):
    path = "/payments"
    tags = ["Payments"]

    @post("/events", status_code=204, rate_limit=PAYMENT_EVENTS, raises=[InvalidSignature, NotFound])
    async def receive_payment_event(
        self,
        request: Request,
        data: PaymentEvent,
        events: PaymentEvents,
        signature: Annotated[
            str,
            Header(
                SIGNATURE,
                "Timestamp, and HMAC-SHA256 of the timestamp and the body.",
                required=True,
                read=lambda text: text or "",  # a missing signature is an invalid one
            ),
        ],
    ) -> None:
        """Receive a payment event.

        The webhook of the payment gateway. Register this URL there and set the signing secret as
        `PAYMENTS_WEBHOOK_SECRET`. Duplicate events are ignored.
        """
        await events.receive(data, await request.body(), signature)
