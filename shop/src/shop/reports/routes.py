from typing import Final
from uuid import UUID

from restwell.auth import Actor
from restwell.web import Controller, Request, Response, Stream, accepted, download, get, post, requires_role
from shop.reports.schemas import Report, ReportCreateRequest, ReportFile
from shop.reports.service import ReportService

CSV: Final = "text/csv"
PDF: Final = "application/pdf"


class ReportController(Controller):
    path = "/reports"
    tags = ["Reports"]
    guards = [requires_role("admin")]

    @post(status_code=202)
    async def create_report(self, data: ReportCreateRequest, actor: Actor, reports: ReportService) -> Response[Report]:
        """Create a sales report.

        Covers up to 366 days and is built in the background. Poll the URL in `Location`: when `state` is `ready`,
        `urls` has the URLs of a CSV file with all order items and of a PDF. When `state` is `failed`, `failure_code`
        has the reason.
        """
        report = await reports.request(actor, data)
        return accepted(report, report.id)

    @get("/{report_id}")
    async def get_report(self, request: Request, report_id: UUID, reports: ReportService) -> Report:
        """Retrieve a sales report."""
        return (await reports.get_report(report_id)).at(request.path)

    @get("/{report_id}/sales.csv", media_type=CSV)
    async def download_report_csv(self, report_id: UUID, reports: ReportService) -> Stream[bytes]:
        """Download a sales report as CSV."""
        return download(await reports.file_path(report_id, ReportFile.CSV), f"{CSV}; charset=utf-8")

    @get("/{report_id}/sales.pdf", media_type=PDF)
    async def download_report_pdf(self, report_id: UUID, reports: ReportService) -> Stream[bytes]:
        """Download a sales report as PDF."""
        return download(await reports.file_path(report_id, ReportFile.PDF), PDF)
