from typing import Annotated

from restwell.errors import NotFound
from restwell.web import ApiRequest, Controller, HeaderParameter, JSONBody, post
from shop.payments.events import InvalidSignature, PaymentEvents
from shop.payments.schemas import PaymentEvent
from shop.rate_limits import PAYMENT_EVENTS

SIGNATURE = "Stripe-Signature"


class PaymentController(Controller):
    path = "/payments"
    tags = ["Payments"]
    events: PaymentEvents

    @post(
        "/events",
        status_code=204,
        requires_header=SIGNATURE,
        rate_limit=PAYMENT_EVENTS,
        errors=[InvalidSignature, NotFound],
    )
    async def receive_payment_event(
        self,
        request: ApiRequest,
        data: JSONBody[PaymentEvent],
        signature: Annotated[
            str,
            HeaderParameter(name=SIGNATURE, description="Timestamp, and HMAC-SHA256 of the timestamp and the body."),
        ] = "",
    ) -> None:
        """Receive a payment event.

        The webhook of the payment gateway. Register this URL there and set the signing secret as
        `PAYMENTS_WEBHOOK_SECRET`. Duplicate events are ignored.
        """
        await self.events.receive(data, await request.body(), signature)
