from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import case, null, select, update

from restwell.database import any_of, columns_of, insert_row, param, query
from restwell.jobs import is_unfinished
from restwell.retention import BATCH, delete_before
from shop.reports.models import ReportFailure, ReportState, reports


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
_columns: Final = columns_of(
    reports,
    StoredReport,
    state=case((_abandoned, ReportState.FAILED.value), else_=reports.c.state),
    failure_code=case((_abandoned, ReportFailure.PROCESSING_FAILED.value)),
)

insert_report: Final = query(
    "reports.insert",
    insert_row(reports, state=ReportState.PENDING, progress=0).returning(
        *columns_of(reports, StoredReport, failure_code=null())
    ),
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
