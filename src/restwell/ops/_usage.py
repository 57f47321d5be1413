"""Who still calls what is deprecated: the figures of ``restwell api usage``."""

from typing import Final

from msgspec import Struct

from restwell.observability._metrics import Metrics
from restwell.ops._figures import read_figures
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response

METRIC: Final = "restwell_deprecated_requests"
SHOWN: Final = 500


class UsageRow(Struct, frozen=True):
    """``client``: ``user``, ``api key``, ``anonymous``, or the id of a machine client."""

    method: str
    route: str
    client: str
    requests: float

    @property
    def version(self) -> str:
        return self.route.split("/")[1] if "/" in self.route else ""


class UsageController(Controller):
    path = f"{ROOT}/usage"

    @page()
    async def usage(self, request: Request, layout: Layout, metrics: Metrics) -> Response[bytes]:
        figures = await read_figures(metrics, METRIC)
        rows = [
            UsageRow(labels["method"], labels["route"], labels["client"], value)
            for labels, value in figures.samples.get(METRIC, [])
        ]
        rows.sort(key=lambda row: (-row.requests, row.route, row.client))
        clients: dict[str, float] = {}
        for row in rows:
            clients[row.client] = clients.get(row.client, 0) + row.requests
        return layout.page(
            request,
            "usage.html",
            rows=rows[:SHOWN],
            total=sum(row.requests for row in rows),
            clients=clients,
            is_counted=METRIC in figures.samples,
        )


PAGE: Final = OpsPage("API usage", UsageController)
