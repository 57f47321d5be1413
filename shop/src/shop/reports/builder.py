import asyncio
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

from restwell.database import Database
from restwell.files import Files
from restwell.ids import min_id_at
from restwell.jobs import JobContext
from shop.orders.service import OrderService
from shop.reports import queries
from shop.reports.models import ReportState
from shop.reports.sales import Sales, write_headings, write_lines
from shop.reports.schemas import ReportFile

PAGE_SIZE: Final = 1_000
"""Orders per query."""


class ReportBuilder:
    def __init__(self, database: Database, files: Files, orders: OrderService) -> None:
        self._database = database
        self._orders = orders
        self._files = files

    async def build(self, context: JobContext, report_id: UUID) -> None:
        """Write both files and mark the report as ready.

        Memory use is independent of the number of orders. Idempotent.
        """
        report = await self._database.primary.find(queries.by_id, id=report_id)
        if report is None or report.state == ReportState.READY:
            return
        first_day, last_day = date.fromisoformat(report.first_day), date.fromisoformat(report.last_day)
        with TemporaryDirectory(prefix="report-") as folder:
            csv_file, pdf_file = Path(folder, ReportFile.CSV), Path(folder, ReportFile.PDF)
            sales = await self._read(report_id, first_day, last_day, csv_file)
            await context.run_in_process(render_pdf, str(pdf_file), sales, first_day, last_day)
            for file in (csv_file, pdf_file):
                await self._files.copy_in(file_name(report_id, ReportFile(file.name)), file)
        async with context.completion() as tx:
            await tx.run(queries.finish, report_id=report_id)

    async def _read(self, report_id: UUID, first_day: date, last_day: date, path: Path) -> Sales:
        """Write all order lines of the period to the CSV file, page by page, and return their totals."""
        after, until = min_id_at(_midnight(first_day)), min_id_at(_midnight(last_day + timedelta(days=1)))
        begin, end = _milliseconds(after), _milliseconds(until)
        sales = Sales.empty()
        with await asyncio.to_thread(path.open, "w", encoding="utf-8", newline="") as file:
            write_headings(file)
            while page := await self._orders.list_sold_lines(after=after, until=until, count=PAGE_SIZE):
                await asyncio.to_thread(write_lines, file, page)
                sales.add(page)
                after = page[-1].order_id
                percent = (_milliseconds(after) - begin) * 99 // (end - begin)
                await self._database.run(queries.set_progress, report_id=report_id, percent=percent)
        return sales


def render_pdf(path: str, sales: Sales, first_day: date, last_day: date) -> None:
    """Runs in a separate process.

    Only that process imports reportlab, which saves start time and memory in the others.
    """
    from shop.reports.pdf import write_pdf  # noqa: PLC0415  # see above

    write_pdf(path, sales, first_day, last_day)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def file_name(report_id: UUID, file: ReportFile) -> str:
    return f"reports/{report_id}/{file}"


def _milliseconds(order_id: UUID) -> int:
    return order_id.int >> 80
