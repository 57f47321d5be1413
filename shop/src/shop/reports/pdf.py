"""The PDF of a sales report: totals, a chart and the best-selling products."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from typing import Any, Final

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from shop.money import format_money
from shop.reports.sales import Sales

MAX_BARS: Final = 31
"""Maximum number of bars. In longer reports, a bar covers several days."""
TOP_PRODUCTS: Final = 10
_WIDTH: Final = A4[0] - 40 * mm
_GREY, _BLUE = HexColor("#d0d7de"), HexColor("#1f6feb")


def write_pdf(path: str, sales: Sales, first_day: date, last_day: date) -> None:
    """Write the PDF to a file."""
    styles = getSampleStyleSheet()
    days = first_day.isoformat() if first_day == last_day else f"{first_day} to {last_day}"
    parts: list[Any] = [Paragraph("Sales", styles["Title"]), Paragraph(f"{days}, in UTC", styles["Normal"])]
    if not sales.orders:
        parts += [Spacer(0, 8 * mm), Paragraph("No sales.", styles["Normal"])]
    for currency, count in sales.orders.most_common():
        total = format_money(sales.cents[currency], currency)
        heading = Paragraph(f"{total} in {count:,} order{'s' if count > 1 else ''}", styles["Heading2"])
        parts += [
            Spacer(0, 6 * mm),
            KeepTogether([heading, _chart(sales.by_day[currency], currency, first_day, last_day)]),
            Spacer(0, 4 * mm),
            _table(
                [(escape(name), format_money(cents, currency)) for name, cents in sales.top(currency, TOP_PRODUCTS)]
            ),
        ]
    document = SimpleDocTemplate(path, pagesize=A4, title=f"Sales {days}")
    document.leftMargin = document.rightMargin = document.topMargin = document.bottomMargin = 20 * mm
    document.build(parts)


def bars(by_day: Counter[date], first_day: date, last_day: date) -> list[tuple[str, int]]:
    """Group the sales into at most MAX_BARS equal periods: the first day of each and its amount."""
    count = (last_day - first_day).days + 1
    step = -(-count // MAX_BARS)
    sums = [0] * -(-count // step)
    for day, cents in by_day.items():
        sums[(day - first_day).days // step] += cents
    return [((first_day + timedelta(days=number * step)).strftime("%d %b"), cents) for number, cents in enumerate(sums)]


def _chart(by_day: Counter[date], currency: str, first_day: date, last_day: date) -> Drawing:
    steps = bars(by_day, first_day, last_day)
    chart = VerticalBarChart()
    chart.x, chart.y, chart.width, chart.height = 62, 40, round(_WIDTH) - 68, 136
    chart.data = [[cents for _, cents in steps]]
    every = max(1, -(-len(steps) // 8))
    chart.categoryAxis.categoryNames = ["" if number % every else name for number, (name, _) in enumerate(steps)]
    chart.categoryAxis.labels.fontSize = chart.valueAxis.labels.fontSize = 7
    chart.categoryAxis.tickDown = 0
    chart.valueAxis.valueMin = 0
    chart.valueAxis.labelTextFormat = lambda cents: format_money(round(cents), currency).partition(".")[0]
    chart.valueAxis.visibleGrid = True
    chart.valueAxis.gridStrokeColor = chart.valueAxis.strokeColor = chart.categoryAxis.strokeColor = _GREY
    chart.bars[0].fillColor = _BLUE
    chart.bars[0].strokeColor = None
    chart.barSpacing, chart.groupSpacing = 0, 3
    drawing = Drawing(_WIDTH, 187)
    drawing.add(chart)
    return drawing


def _table(rows: Sequence[tuple[str, str]]) -> Table:
    style = getSampleStyleSheet()["BodyText"]
    content = [("Product", "Sold for"), *((Paragraph(name, style), amount) for name, amount in rows)]
    bold, right = ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"), ("ALIGN", (1, 0), (1, -1), "RIGHT")
    middle, lines = ("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("LINEBELOW", (0, 0), (-1, -1), 0.4, _GREY)
    return Table(content, [_WIDTH * 0.75, _WIDTH * 0.25], repeatRows=1, style=[bold, right, middle, lines])
