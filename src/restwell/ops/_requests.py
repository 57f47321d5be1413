"""The requests of the last minutes: rate, errors and durations by route, and the slowest ones with their spans."""

from collections.abc import Callable
from typing import Final, Literal

from restwell.observability._metrics import Metrics
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.ops._request_rates import RequestRates, RouteRequests
from restwell.ops._slow_requests import get_slow_request, read_slow_requests, slowest_query
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
        self, request: Request, layout: Layout, metrics: Metrics, rates: RequestRates, sort: Sort = "slow"
    ) -> Response[bytes]:
        found = await rates.read()
        routes = sorted(found.routes, key=_ORDER[sort], reverse=True)
        slow = [(each, slowest_query(each)) for each in await read_slow_requests(metrics)]
        return layout.page(
            request,
            "requests.html",
            recent=found,
            total=found.total,
            routes=routes[:SHOWN],
            sort=sort,
            slow=slow,
        )

    @page("/{request_id}")
    async def slow_request(
        self, request: Request, request_id: str, layout: Layout, metrics: Metrics
    ) -> Response[bytes]:
        found = await get_slow_request(metrics, request_id)
        return layout.page(request, "request.html", request=found, slowest=slowest_query(found))


PAGE: Final = OpsPage("Requests", RequestsController, services=[RequestRates])
