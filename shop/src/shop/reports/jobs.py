from uuid import UUID

from restwell.jobs import JobContext, job
from shop.reports.builder import ReportBuilder


@job(queue="reports", max_attempts=3, timeout_seconds=3_600)
async def build_report(context: JobContext, report_id: UUID) -> None:
    await context.get(ReportBuilder).build(context, report_id)
