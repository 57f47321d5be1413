from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import convert
from msgspec.structs import asdict

from restwell.auth import Actor
from restwell.database import Database
from restwell.errors import FieldError, Invalid, NotFound
from restwell.files import Files
from restwell.ids import min_id_at, new_id
from restwell.jobs import Jobs
from restwell.retention import DeletesExpired, OwnsFolder
from shop.reports import queries
from shop.reports.builder import file_name
from shop.reports.jobs import build_report
from shop.reports.models import ReportState
from shop.reports.queries import StoredReport
from shop.reports.schemas import Report, ReportCreateRequest, ReportFile

RETENTION: Final = timedelta(days=30)
MAX_DAYS: Final = 366
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
"""The day after the last day must be a valid date."""


class ReportService(DeletesExpired, OwnsFolder):
    folder = "reports"

    def __init__(self, database: Database, jobs: Jobs, files: Files) -> None:
        self._database = database
        self._jobs = jobs
        self._files = files

    async def request(self, actor: Actor, period: ReportCreateRequest) -> Report:
        """Enqueue a report. Raises Invalid for an invalid period."""
        days = (period.last_day - period.first_day).days + 1
        if not 1 <= days <= MAX_DAYS:
            raise Invalid(errors=[FieldError("$.last_day", f"the period must have 1 to {MAX_DAYS} days")])
        for name, day in (("first_day", period.first_day), ("last_day", period.last_day)):
            if not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise Invalid(errors=[FieldError(f"$.{name}", f"must be between {FIRST_YEAR} and {LAST_YEAR}")])
        async with self._database.transaction() as tx:
            report_id = new_id()
            report = await tx.one(
                queries.insert_report,
                id=report_id,
                job_id=await self._jobs.enqueue(tx, build_report, report_id=report_id),
                requested_by=actor.id,
                first_day=period.first_day.isoformat(),
                last_day=period.last_day.isoformat(),
                created_at=datetime.now(UTC),
            )
        return _to_schema(report)

    async def get_report(self, report_id: UUID) -> Report:
        return _to_schema(await self._find(report_id))

    async def file_path(self, report_id: UUID, file: ReportFile) -> Path:
        """Return the path of a file. Raises NotFound unless the report is ready."""
        report = await self._find(report_id)
        if report.state != ReportState.READY:
            raise NotFound
        return self._files.path(file_name(report_id, file))

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of old reports; the cleanup then deletes their files. Returns their number."""
        return await self._database.run(queries.delete_expired, before=min_id_at(now - RETENTION))

    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of at most BATCH ids that belong to a report."""
        return await self._database.primary.all(queries.existing, ids=ids)

    async def _find(self, report_id: UUID) -> StoredReport:
        report = await self._database.find(queries.by_id, id=report_id)
        if report is None:
            raise NotFound
        return report


def _to_schema(report: StoredReport) -> Report:
    return convert({**asdict(report), "urls": {}}, Report)
