from typing import Final

from msgspec import Struct
from sqlalchemy import select, update

from restwell.database import insert_or_ignore, param, query
from restwell.retention import delete_before
from shop.payments.models import OrderKey, PaymentState, payment_events, payments

BATCH: Final = 1_000


class StoredPayment(Struct, frozen=True):
    gateway_id: str
    state: PaymentState


_of_order: Final = (payments.c.user_id == param("user_id")) & (payments.c.order_id == param("order_id"))

of_order: Final = query(
    "payments.of_order", select(payments.c.gateway_id, payments.c.state).where(_of_order), into=StoredPayment
)

of_gateway_id: Final = query(
    "payments.of_gateway_id",
    select(payments.c.user_id, payments.c.order_id).where(payments.c.gateway_id == param("gateway_id")),
    into=OrderKey,
)

insert_payment: Final = query("payments.insert", insert_or_ignore(payments))

set_state: Final = query(
    "payments.set_state",
    update(payments)
    .where(payments.c.user_id == param("match_user_id"), payments.c.order_id == param("match_order_id"))
    .values(state=param("state"), updated_at=param("now")),
)

reversing: Final = query(
    "payments.reversing",
    select(payments.c.user_id, payments.c.order_id)
    .where(payments.c.state == PaymentState.REVERSING.value, payments.c.updated_at < param("before"))
    .order_by(payments.c.updated_at)
    .limit(BATCH),
    into=OrderKey,
)

insert_event: Final = query(
    "payment_events.insert", insert_or_ignore(payment_events, returning=[payment_events.c.id]), into=str
)

delete_expired: Final = delete_before(
    "payment_events.delete_expired", payment_events.c.id, payment_events.c.received_at
)
