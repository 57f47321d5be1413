"""What the gateway sends of payments."""

from typing import Annotated

from msgspec import Meta, Struct

from shop.schema import whole

_Id = Annotated[str, Meta(pattern=whole(r"[\x21-\x7e]{1,255}"), examples=["evt_1PgafyB7WZ01zgkWq0ixzKJX"])]
_Payment = Annotated[str, Meta(pattern=whole(r"[\x21-\x7e]{1,255}"), examples=["pi_3PgafyB7WZ01zgkW1tl3yqBs"])]


class Subject(Struct, frozen=True):
    """A payment, or something that belongs to one, such as a refund."""

    id: _Payment
    payment_intent: _Payment | None = None


class EventData(Struct, frozen=True):
    object: Subject


class PaymentEvent(Struct, frozen=True):
    id: _Id
    data: EventData
