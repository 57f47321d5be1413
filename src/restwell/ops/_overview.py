"""The overview, which says whether all is well."""

from typing import Final

from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response


class OverviewController(Controller):
    path = ROOT

    @page()
    async def overview(self, request: Request, layout: Layout) -> Response[bytes]:
        return layout.page(request, "overview.html")


PAGE: Final = OpsPage("Overview", OverviewController)
