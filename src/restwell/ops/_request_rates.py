"""The requests of the last minutes, by route, over all processes of this machine.

Each process samples its own request metrics every SAMPLE_SECONDS, when it publishes its reports, and reports the
difference to its oldest sample. So nothing is added to a request. The requests of the operations page are left out.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from restwell.edge._request_metrics import DURATION
from restwell.observability._metric_families import HistogramFamily
from restwell.observability._metrics import Metrics
from restwell.observability._process_reports import read_section
from restwell.ops._page import ROOT

SECTION: Final = "ops_requests"
SAMPLE_SECONDS: Final = 10
WINDOW_SECONDS: Final = 300
MAX_ROUTES: Final = 300
"""The routes that a process reports: those with the most requests."""

_Key = tuple[str, str, str]
_Counts = dict[_Key, tuple[list[int], float]]


class RouteRequests(Struct, array_like=True):
    """Requests of a route by bucket of their duration. ``failed``: 5xx; ``refused``: 4xx."""

    method: str
    route: str
    counts: list[int]
    seconds: float = 0.0
    failed: int = 0
    refused: int = 0

    @property
    def requests(self) -> int:
        return sum(self.counts)

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float | None:
        """The duration that this share of the requests does not exceed, in seconds."""
        return quantile(DURATION.bounds, self.counts, share)


class Slot(Struct, array_like=True):
    """The requests of SAMPLE_SECONDS. ``number``: since the epoch, so that processes have the same slots."""

    number: int
    requests: int
    failed: int


class RateWindow(Struct, array_like=True):
    """``seconds``: the length of the window."""

    seconds: float
    routes: list[RouteRequests]
    slots: list[Slot]

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.routes)

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.routes)

    @property
    def total(self) -> RouteRequests:
        """All routes together."""
        total = RouteRequests("", "", [0] * (len(DURATION.bounds) + 1))
        for each in self.routes:
            _add(total, each)
        return total


class RequestRates:
    """The window of this process, and those of all processes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._samples: deque[tuple[float, _Counts]] = deque([(time.time(), {})])
        self._slots: deque[Slot] = deque(maxlen=WINDOW_SECONDS // SAMPLE_SECONDS)
        self._reported = RateWindow(0.0, [], [])
        metrics.reports.add(SECTION, self.own)

    def own(self) -> RateWindow:
        """The window of this process. The first call of each slot takes a sample: the slot before it has ended."""
        now = time.time()
        if _slot_number(now) != _slot_number(self._samples[-1][0]) or not self._reported.seconds:
            self._sample(now)
        return self._reported

    async def read(self) -> RateWindow:
        """The window of all processes of this machine, the busiest routes first."""
        reports = await self._metrics.process_reports()
        return merged(found for each in reports if (found := read_section(each, SECTION, RateWindow)) is not None)

    def _sample(self, now: float) -> None:
        counts = self._read_counts()
        samples = self._samples
        sampled_at, last = samples[-1]
        added = _difference(counts, last)
        number = _slot_number(sampled_at)
        self._slots.append(Slot(number, sum(e.requests for e in added), sum(e.failed for e in added)))
        samples.append((now, counts))
        while now - samples[1][0] >= WINDOW_SECONDS:
            samples.popleft()
        since, first = samples[0]
        routes = sorted(_difference(counts, first), key=lambda each: -each.requests)[:MAX_ROUTES]
        self._reported = RateWindow(now - since, routes, list(self._slots))

    def _read_counts(self) -> _Counts:
        for family in self._metrics.registry.collect():
            if family.name == DURATION.name and isinstance(family, HistogramFamily):
                return {
                    (
                        each.labels["http_request_method"],
                        each.labels["http_route"],
                        each.labels["http_response_status_class"],
                    ): (each.counts, each.sum)
                    for each in family.series
                    if not is_own_route(each.labels["http_route"])
                }
        return {}


def is_own_route(route: str) -> bool:
    """Whether a route is one of the operations page."""
    return route == ROOT or route.startswith(f"{ROOT}/")


def merged(windows: Iterable[RateWindow]) -> RateWindow:
    """The windows of several processes together, without a last slot that not every process has reported yet."""
    seconds = 0.0
    routes: dict[tuple[str, str], RouteRequests] = {}
    slots: dict[int, Slot] = {}
    newest: list[int] = []
    for window in windows:
        seconds = max(seconds, window.seconds)
        for each in window.routes:
            key = each.method, each.route
            if key in routes:
                _add(routes[key], each)
            else:
                routes[key] = each
        newest += [slot.number for slot in window.slots[-1:]]
        for slot in window.slots:
            known = slots.setdefault(slot.number, Slot(slot.number, 0, 0))
            known.requests += slot.requests
            known.failed += slot.failed
    listed = sorted(routes.values(), key=lambda each: (-each.requests, each.route, each.method))
    last = max(min(newest), max(newest) - 1) if newest else 0  # a process that hangs does not end the chart
    shown = sorted((slot for slot in slots.values() if slot.number <= last), key=lambda slot: slot.number)
    return RateWindow(seconds, listed, shown)


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The quantile of a histogram, by linear interpolation within its bucket. None without observations.

    In the last bucket, which has no upper bound, it is the lower one.
    """
    total = sum(counts)
    if not total:
        return None
    cumulative: list[int] = []
    for count in counts:
        cumulative.append(count + (cumulative[-1] if cumulative else 0))
    rank = share * total
    index = bisect_left(cumulative, rank)
    if index >= len(bounds):
        return bounds[-1]
    lower = bounds[index - 1] if index else 0.0
    before = cumulative[index - 1] if index else 0
    return lower + (bounds[index] - lower) * (rank - before) / max(1, counts[index])


def _slot_number(seconds: float) -> int:
    return int(seconds // SAMPLE_SECONDS)


def _difference(counts: _Counts, before: _Counts) -> list[RouteRequests]:
    routes: dict[tuple[str, str], RouteRequests] = {}
    for key, (buckets, seconds) in counts.items():
        old, old_seconds = before.get(key, ([0] * len(buckets), 0.0))
        added = [new - known for new, known in zip(buckets, old, strict=True)]
        if not any(added):
            continue
        method, route, status = key
        each = routes.setdefault((method, route), RouteRequests(method, route, [0] * len(buckets)))
        number = sum(added)
        failed, refused = number if status == "5xx" else 0, number if status == "4xx" else 0
        _add(each, RouteRequests(method, route, added, seconds - old_seconds, failed, refused))
    return list(routes.values())


def _add(total: RouteRequests, each: RouteRequests) -> None:
    total.counts = [a + b for a, b in zip(total.counts, each.counts, strict=True)]
    total.seconds += each.seconds
    total.failed += each.failed
    total.refused += each.refused
