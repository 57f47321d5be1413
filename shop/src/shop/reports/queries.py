from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import case, insert, null, select, update

from restwell.database import any_of, param, query
from restwell.jobs import is_unfinished
from shop.reports.models import ReportFailure, ReportState, reports
from shop.retention import BATCH, delete_before


class StoredReport(Struct, frozen=True):
    id: UUID
    state: ReportState
    failure_code: ReportFailure | None
    progress: int
    first_day: str
    last_day: str
    created_at: datetime


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

delete_expired: Final = delete_before("reports.delete_expired", reports.c.id, reports.c.id)
existing: Final = query(
    "reports.existing", select(reports.c.id).where(any_of(reports.c.id, "ids")).limit(BATCH), into=UUID
)
