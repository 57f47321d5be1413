"""Jobs of reports."""

from uuid import UUID

from restwell.jobs import Run, job
from shop.reports.maker import ReportMaker


@job(queue="reports", max_attempts=3, timeout_seconds=3_600)
async def make_report(run: Run, report_id: UUID) -> None:
    await run.get(ReportMaker).make(run, report_id)
