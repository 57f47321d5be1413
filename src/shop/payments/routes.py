"""HTTP of payments: what the gateway calls."""

from typing import Annotated

from restwell.errors import NotFound
from restwell.web import ApiRequest, Controller, HeaderParameter, JSONBody, post
from shop.payments.events import InvalidSignature, PaymentEvents
from shop.payments.schemas import PaymentEvent
from shop.rate_limits import EVENTS

SIGNATURE = "Stripe-Signature"


class PaymentController(Controller):
    path = "/payments"
    tags = ["Payments"]
    events: PaymentEvents

    @post("/events", status_code=204, requires_header=SIGNATURE, rate_limit=EVENTS, errors=[InvalidSignature, NotFound])
    async def receive_payment_event(
        self,
        request: ApiRequest,
        data: JSONBody[PaymentEvent],
        signature: Annotated[
            str, HeaderParameter(name=SIGNATURE, description="Of the gateway: when, and an HMAC of that and the body.")
        ] = "",
    ) -> None:
        """Tell of a payment: the gateway's webhook.

        Set its address and its secret (`PAYMENTS_WEBHOOK_SECRET`) there. An event that comes again changes nothing.
        """
        await self.events.receive(data, await request.body(), signature)
