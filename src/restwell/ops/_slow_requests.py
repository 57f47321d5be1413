"""The slowest and the failed requests of the last minutes, of all processes of this machine, with their spans."""

from typing import Final

from restwell.errors import NotFound
from restwell.observability._metrics import Metrics
from restwell.observability._process_reports import read_section
from restwell.observability._recent_requests import REPORT, RecentRequest, RecentSpan
from restwell.ops._request_rates import is_own_route

SHOWN: Final = 30


class GoneRequest(NotFound):
    code = "request_gone"
    message = "The request is too long ago: only the slowest and the failed ones of the last minutes are stored."


async def read_slow_requests(metrics: Metrics) -> list[RecentRequest]:
    """Failed requests first, the newest first, then the others, the slowest first.

    Of the requests of the operations page, only those that failed.
    """
    found: list[RecentRequest] = []
    for report in await metrics.process_reports():
        found += read_section(report, REPORT, list[RecentRequest]) or []
    found = [each for each in found if _has_failed(each) or not is_own_route(each.route or "")]
    return sorted(found, key=lambda each: (not _has_failed(each), -_order(each)))[:SHOWN]


async def get_slow_request(metrics: Metrics, request_id: str) -> RecentRequest:
    """Raises GoneRequest."""
    for report in await metrics.process_reports():
        for each in read_section(report, REPORT, list[RecentRequest]) or []:
            if each.request_id == request_id:
                return each
    raise GoneRequest


def slowest_query(request: RecentRequest) -> RecentSpan | None:
    """The named query that took most of the time."""
    queries = [span for span in request.spans if span.kind == "query"]
    return max(queries, key=lambda span: span.seconds, default=None)


def _has_failed(request: RecentRequest) -> bool:
    return request.error is not None or request.status >= 500


def _order(request: RecentRequest) -> float:
    return request.started_at.timestamp() if _has_failed(request) else request.seconds
