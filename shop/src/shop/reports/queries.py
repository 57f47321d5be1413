from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import case, insert, null, select, update

from restwell.database import param, query
from restwell.jobs import is_unfinished
from shop.orders.models import order_lines, orders
from shop.reports.models import ReportFailure, ReportState, reports


class StoredReport(Struct, frozen=True):
    id: UUID
    state: ReportState
    failure_code: ReportFailure | None
    progress: int
    first_day: str
    last_day: str
    created_at: datetime


class SoldLine(Struct, frozen=True):
    """An order line with the columns of its order that are in the report."""

    order_id: UUID
    created_at: datetime
    status: str
    currency: str
    name: str
    unit_price_cents: int
    quantity: int


_abandoned: Final = (reports.c.state == ReportState.PENDING.value) & ~is_unfinished(reports.c.job_id)
"""The job ended without building the report: it is dead or was cancelled."""
_computed: Final = {
    "state": case((_abandoned, ReportState.FAILED.value), else_=reports.c.state),
    "failure_code": case((_abandoned, ReportFailure.PROCESSING_FAILED.value)),
}
_names: Final = StoredReport.__struct_fields__
_columns: Final = [_computed[name].label(name) if name in _computed else reports.c[name] for name in _names]
_insert_columns: Final = ("id", "requested_by", "job_id", "first_day", "last_day", "created_at")

insert_report: Final = query(
    "reports.insert",
    insert(reports)
    .values({name: param(name) for name in _insert_columns} | {"state": ReportState.PENDING, "progress": 0})
    .returning(*(null().label(name) if name == "failure_code" else reports.c[name] for name in _names)),
    into=StoredReport,
)
by_id: Final = query("reports.by_id", select(*_columns).where(reports.c.id == param("id")), into=StoredReport)
set_progress: Final = query(
    "reports.set_progress",
    update(reports)
    .where(reports.c.id == param("report_id"), reports.c.progress < param("percent"))
    .values(progress=param("percent")),
)
finish: Final = query(
    "reports.finish",
    update(reports).where(reports.c.id == param("report_id")).values(state=ReportState.READY, progress=100),
)

# UUIDv7 ids are ordered by time, so a period is a range of the primary key index.
_orders: Final = (
    select(orders.c.user_id, orders.c.id, orders.c.created_at, orders.c.status, orders.c.currency)
    .where(orders.c.id > param("after"), orders.c.id < param("until"))
    .order_by(orders.c.id)
    .limit(param("count"))
    .subquery("page")
)
sold: Final = query(
    "reports.sold",
    select(
        _orders.c.id.label("order_id"),
        _orders.c.created_at,
        _orders.c.status,
        _orders.c.currency,
        order_lines.c.name,
        order_lines.c.unit_price_cents,
        order_lines.c.quantity,
    )
    .join(_orders, (order_lines.c.user_id == _orders.c.user_id) & (order_lines.c.order_id == _orders.c.id))
    .order_by(_orders.c.id, order_lines.c.position),
    into=SoldLine,
)
