"""HTTP of reports."""

from typing import Final
from uuid import UUID

from restwell.auth import Actor
from restwell.web import (
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    accepted,
    download,
    get,
    post,
    requires_role,
)
from shop.reports.schemas import Report, ReportCreateRequest, ReportFile
from shop.reports.service import ReportService

CSV: Final = "text/csv"
PDF: Final = "application/pdf"


class ReportController(Controller):
    path = "/reports"
    tags = ["Reports"]
    guards = [requires_role("admin")]
    reports: ReportService

    @post(status_code=202)
    async def create_report(self, data: JSONBody[ReportCreateRequest], actor: Inject[Actor]) -> Response[Report]:
        """Have a sales report made, for up to 366 days.

        Read the address in Location for its progress; when its state is `ready`, it has the addresses of a CSV file with every line
        sold, and of a PDF with a chart. `failed` is the other end; `failure_code` says why.
        """
        report = await self.reports.request(actor, data)
        return accepted(report, f"/v1/reports/{report.id}")

    @get("/{report_id:uuid}")
    async def get_report(self, report_id: FromPath[UUID]) -> Report:
        """Read how far a report is, and where its files are."""
        return await self.reports.get_report(report_id)

    @get("/{report_id:uuid}/sales.csv", media_type=CSV)
    async def download_report_csv(self, report_id: FromPath[UUID]) -> Response[bytes]:
        """Download the lines of a report as CSV."""
        return download(await self.reports.file_path(report_id, ReportFile.CSV), CSV)

    @get("/{report_id:uuid}/sales.pdf", media_type=PDF)
    async def download_report_pdf(self, report_id: FromPath[UUID]) -> Response[bytes]:
        """Download a report as PDF."""
        return download(await self.reports.file_path(report_id, ReportFile.PDF), PDF)
