"""Jobs of reports."""

from uuid import UUID

from restwell.jobs import JobContext, job
from shop.reports.maker import ReportMaker


@job(queue="reports", max_attempts=3, timeout_seconds=3_600)
async def make_report(context: JobContext, report_id: UUID) -> None:
    await context.get(ReportMaker).make(context, report_id)
