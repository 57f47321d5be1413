"""Who calls which version, and who still calls what is deprecated: the figures of ``restwell api usage``."""

from typing import Final

from restwell.edge._usage_report import PREFIXES, usage_report
from restwell.observability._metrics import Metrics
from restwell.ops._figures import read_figures
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response

SHOWN: Final = 500


class UsageController(Controller):
    path = f"{ROOT}/usage"

    @page()
    async def usage(self, request: Request, layout: Layout, metrics: Metrics) -> Response[bytes]:
        report = usage_report((await read_figures(metrics, PREFIXES)).samples)
        return layout.page(
            request,
            "usage.html",
            report=report,
            callers=report.callers[:SHOWN],
            total=sum(each.requests for each in report.versions),
            deprecated=sum(each.requests for each in report.callers),
        )


PAGE: Final = OpsPage("API usage", UsageController)
