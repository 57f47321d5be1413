"""The limits: which rates have rejected whom, and how the concurrency limit and the pools are used."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from restwell.observability._metrics import Metrics
from restwell.observability._process_reports import read_section
from restwell.ops._figures import Figures, read_figures
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.rate_limits._limiter import CLIENTS, LimitedClient
from restwell.settings import Settings
from restwell.web import Controller, Request, Response

SHOWN: Final = 100


class LimitedRow(Struct, frozen=True):
    rate: str
    client: str
    rejected: int
    last_at: datetime


class LimitsController(Controller):
    path = f"{ROOT}/limits"

    @page()
    async def limits(self, request: Request, layout: Layout, metrics: Metrics, settings: Settings) -> Response[bytes]:
        figures: Figures = await read_figures(metrics, "restwell_")
        return layout.page(
            request,
            "limits.html",
            clients=await read_limited(metrics),
            rejected=figures.by("restwell_rate_limited", "rate"),
            figures=figures,
            rates=settings.rate_limit,
            servers=sorted(figures.by("restwell_db_pool_size", "server")),
        )


async def read_limited(metrics: Metrics) -> list[LimitedRow]:
    """The clients that were rejected last, by any process of this machine."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for report in await metrics.process_reports():
        for each in read_section(report, CLIENTS, list[LimitedClient]) or []:
            rejected, last_at = found.get((each.rate, each.client), (0, 0.0))
            found[each.rate, each.client] = rejected + each.rejected, max(last_at, each.last_at)
    rows = [
        LimitedRow(rate, client, rejected, datetime.fromtimestamp(last_at, UTC))
        for (rate, client), (rejected, last_at) in found.items()
    ]
    return sorted(rows, key=lambda row: row.last_at, reverse=True)[:SHOWN]


PAGE: Final = OpsPage("Limits", LimitsController)
