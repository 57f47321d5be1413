from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ARRAY, Integer, Select, bindparam, func, literal_column, or_, select, true, update

from restwell.database import any_of, columns_of, insert_row, page_query, param, query
from shop.orders.models import OrderStatus, SoldLine, order_lines, orders
from shop.payments.models import OrderKey


class StoredOrder(Struct, frozen=True):
    user_id: UUID
    id: UUID
    status: OrderStatus
    total_cents: int
    currency: str
    created_at: datetime


class StoredLine(Struct, frozen=True):
    order_id: UUID
    product_id: UUID
    name: str
    unit_price_cents: int
    quantity: int


_shown: Final = columns_of(orders, StoredOrder)
_of_user: Final = orders.c.user_id == param("user_id")

of_user_by_id: Final = query(
    "orders.of_user_by_id", select(*_shown).where(_of_user, orders.c.id == param("id")), into=StoredOrder
)

by_id: Final = query("orders.by_id", select(*_shown).where(orders.c.id == param("id")), into=StoredOrder)

page: Final = page_query("orders.page", select(*_shown), [orders.c.id], StoredOrder, descending=True)

page_of_user: Final = page_query(
    "orders.page_of_user", select(*_shown).where(_of_user), [orders.c.id], StoredOrder, descending=True
)

_line: Final = columns_of(order_lines, StoredLine)
_lines: Final = (
    select(*_line)
    .where(any_of(order_lines.c.order_id, "order_ids"))
    .order_by(order_lines.c.order_id, order_lines.c.position)
)
_line_of_user: Final = order_lines.c.user_id == param("user_id")


def _of_each_order() -> Select[Any]:
    """One index lookup per order. With a plain condition, PostgreSQL's generic plan may read all lines of the user.

    OFFSET 0 prevents the planner from flattening the subquery.
    """
    order_ids = bindparam("order_ids", type_=ARRAY(order_lines.c.order_id.type), required=True)
    wanted = func.unnest(order_ids).table_valued("order_id").render_derived(name="wanted")
    found = select(*_line, order_lines.c.position).where(_line_of_user, order_lines.c.order_id == wanted.c.order_id)
    lines = found.offset(literal_column("0", Integer)).lateral("lines")
    shown = select(*columns_of(lines, StoredLine)).select_from(wanted)
    return shown.join(lines, true()).order_by(lines.c.order_id, lines.c.position)


lines_of_user: Final = query(
    "order_lines.of_user", {"postgresql": _of_each_order(), "sqlite": _lines.where(_line_of_user)}, into=StoredLine
)

lines_of: Final = query("order_lines.of_orders", _lines, into=StoredLine)

lock_pending: Final = query(
    "orders.lock_pending",
    select(orders.c.id)
    .where(_of_user, orders.c.id == param("id"), orders.c.status == OrderStatus.PENDING.value)
    .with_for_update(),
    into=UUID,
)

pending_before: Final = query(
    "orders.pending_before",
    select(orders.c.user_id, orders.c.id.label("order_id"))
    .where(orders.c.status == OrderStatus.PENDING.value, orders.c.id < param("before"))
    .order_by(orders.c.id)
    .limit(1_000),
    into=OrderKey,
)

insert_order: Final = query("orders.insert", insert_row(orders, StoredOrder))

insert_line: Final = query("order_lines.insert", insert_row(order_lines))

cancel: Final = query(
    "orders.cancel",
    update(orders)
    .where(
        orders.c.user_id == param("match_user_id"),
        orders.c.id == param("order_id"),
        or_(orders.c.status == OrderStatus.PENDING.value, orders.c.status == OrderStatus.PAID.value),
    )
    .values(status=OrderStatus.CANCELLED.value, cancelled_at=param("now")),
)

settle: Final = query(
    "orders.settle",
    update(orders)
    .where(
        orders.c.user_id == param("match_user_id"),
        orders.c.id == param("order_id"),
        orders.c.status == OrderStatus.PENDING.value,
    )
    .values(status=param("status")),
)

# UUIDv7 ids are ordered by time, so a period is a range of the primary key index.
_sold: Final = (
    select(orders.c.user_id, orders.c.id, orders.c.created_at, orders.c.status, orders.c.currency)
    .where(orders.c.id > param("after"), orders.c.id < param("until"))
    .order_by(orders.c.id)
    .limit(param("count"))
    .subquery("page")
)
sold_lines: Final = query(
    "order_lines.sold",
    select(
        _sold.c.id.label("order_id"),
        _sold.c.created_at,
        _sold.c.status,
        _sold.c.currency,
        order_lines.c.name,
        order_lines.c.unit_price_cents,
        order_lines.c.quantity,
    )
    .join(_sold, (order_lines.c.user_id == _sold.c.user_id) & (order_lines.c.order_id == _sold.c.id))
    .order_by(_sold.c.id, order_lines.c.position),
    into=SoldLine,
)
