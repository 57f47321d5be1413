"""The requests of the last minutes: rate, errors and durations by route."""

from collections.abc import Callable
from typing import Final, Literal

from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.ops._request_rates import RequestRates, RouteRequests
from restwell.web import Controller, Request, Response

SHOWN: Final = 100
Sort = Literal["slow", "busy", "errors", "time"]

_ORDER: Final[dict[str, Callable[[RouteRequests], float]]] = {
    "slow": lambda each: each.quantile(0.95) or 0.0,
    "busy": lambda each: each.requests,
    "errors": lambda each: each.failed,
    "time": lambda each: each.seconds,
}


class RequestsController(Controller):
    path = f"{ROOT}/requests"

    @page()
    async def requests(
        self, request: Request, layout: Layout, rates: RequestRates, sort: Sort = "slow"
    ) -> Response[bytes]:
        found = await rates.read()
        routes = sorted(found.routes, key=_ORDER[sort], reverse=True)
        return layout.page(request, "requests.html", recent=found, total=found.total, routes=routes[:SHOWN], sort=sort)


PAGE: Final = OpsPage("Requests", RequestsController, services=[RequestRates])
