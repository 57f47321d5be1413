from typing import Annotated

from msgspec import Meta, Struct

from restwell.fields import anchored

_Id = Annotated[str, Meta(pattern=anchored(r"[\x21-\x7e]{1,255}"), examples=["evt_1PgafyB7WZ01zgkWq0ixzKJX"])]
_Payment = Annotated[str, Meta(pattern=anchored(r"[\x21-\x7e]{1,255}"), examples=["pi_3PgafyB7WZ01zgkW1tl3yqBs"])]


class PaymentEventObject(Struct, frozen=True):
    """A payment, or an object that references one, such as a refund."""

    id: _Payment
    payment_intent: _Payment | None = None


class PaymentEventData(Struct, frozen=True):
    object: PaymentEventObject


class PaymentEvent(Struct, frozen=True):
    id: _Id
    data: PaymentEventData
