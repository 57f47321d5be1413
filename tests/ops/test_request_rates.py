"""The requests of the last minutes, over all processes."""

from pathlib import Path
from typing import Any

import pytest

from restwell.edge._request_metrics import DURATION, RequestMetrics
from restwell.observability._metrics import Metrics
from restwell.ops import _request_rates as request_rates
from restwell.ops._request_rates import RateWindow, RequestRates, RouteRequests, Slot, merged, quantile

BOUNDS = DURATION.bounds
NONE = [0] * (len(BOUNDS) + 1)


class Clock:
    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(request_rates, "time", clock)
    return clock


def requests(metrics: RequestMetrics, route: str, status: int, number: int, seconds: float) -> None:
    series: Any = metrics._series.setdefault((route, "GET", status), request_metrics_series())
    for _ in range(number):
        series.observe(seconds)


def request_metrics_series() -> Any:
    from restwell.edge._request_metrics import _Series  # noqa: PLC0415  # used here only

    return _Series()


async def test_a_window_has_the_requests_of_the_last_five_minutes(clock: Clock) -> None:
    """Breaks when the window never ends: an old incident would look like a present one."""
    metrics, counted = Metrics(None), RequestMetrics()
    metrics.registry.register(counted)
    rates = RequestRates(metrics)
    requests(counted, "/old", 5, 3, 0.01)
    requests(counted, "/ops/jobs", 2, 7, 0.01)  # the operations page does not observe itself
    requests(counted, "/ops", 2, 7, 0.01)
    clock.now += 10
    assert [(each.route, each.failed) for each in rates.own().routes] == [("/old", 3)]
    clock.now += 5
    requests(counted, "/new", 2, 4, 0.2)
    assert len(rates.own().routes) == 1, "a sample is taken every ten seconds"
    for _ in range(31):
        clock.now += 10
        rates.own()
    assert rates.own().routes == []
    requests(counted, "/new", 4, 2, 0.2)
    clock.now += 10
    window = await rates.read()
    (route,) = window.routes
    assert (route.route, route.requests, route.refused, route.failed) == ("/new", 2, 2, 0)
    assert 290 <= window.seconds <= 310
    assert len(window.slots) == 30
    assert window.slots[-1].requests == 2


async def test_the_windows_of_processes_are_added(tmp_path: Path, clock: Clock) -> None:
    found, windows = [], []
    for number in (1, 2):
        metrics, counted = Metrics(tmp_path), RequestMetrics()
        metrics.registry.register(counted)
        rates = RequestRates(metrics)
        requests(counted, "/things", 2, number, 0.01)
        requests(counted, f"/only-{number}", 5, 1, 0.01)
        clock.now += 1
        found.append(metrics)
        windows.append(rates)
        await metrics.start()
    window = await windows[-1].read()
    assert {each.route: each.requests for each in window.routes} == {"/things": 3, "/only-1": 1, "/only-2": 1}
    assert (window.requests, window.failed) == (5, 2)
    assert sum(slot.failed for slot in window.slots) == 2
    for metrics in found:
        await metrics.close()


def test_a_slot_that_not_every_process_has_reported_is_no_drop_of_the_rate() -> None:
    """Fails when the last slot is shown at once: half of the requests seem to be missing for a second.

    A process that hangs for longer does not end the chart.
    """
    first, second = RateWindow(30, [], [Slot(1, 5, 0), Slot(2, 5, 0)]), RateWindow(30, [], [Slot(1, 5, 0)])
    assert [(slot.number, slot.requests) for slot in merged([first, second]).slots] == [(1, 10)]
    hanging = RateWindow(30, [], [Slot(1, 5, 0)])
    later = RateWindow(60, [], [Slot(number, 5, 0) for number in range(1, 5)])
    assert [slot.number for slot in merged([later, hanging]).slots] == [1, 2, 3]


async def test_a_process_that_publishes_late_fills_every_slot(clock: Clock) -> None:
    """Fails when a sample is taken ten seconds after the last one: the times drift, and a slot seems to be empty."""
    metrics, counted = Metrics(None), RequestMetrics()
    metrics.registry.register(counted)
    rates = RequestRates(metrics)
    for _ in range(200):
        requests(counted, "/things", 2, 1, 0.01)
        rates.own()
        clock.now += 1.07
    numbers = [slot.number for slot in rates.own().slots]
    assert [*dict.fromkeys(numbers)] == [*range(numbers[0], numbers[-1] + 1)]
    assert len(numbers) > 15


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    assert quantile([1.0, 2.0, 4.0], [0, 10, 0, 0], 0.5) == pytest.approx(1.5)
    assert quantile([1.0, 2.0, 4.0], [5, 5, 0, 0], 0.5) == pytest.approx(1.0)
    assert quantile([1.0, 2.0, 4.0], [0, 0, 0, 3], 0.99) == 4.0
    assert quantile([1.0, 2.0, 4.0], [0, 0, 0, 0], 0.5) is None


def test_nothing_happened_is_no_error() -> None:
    window = merged([])
    assert (window.seconds, window.requests, window.total.failed_share) == (0.0, 0, 0.0)
    assert window.total.quantile(0.5) is None
    both = merged([RateWindow(5, [RouteRequests("GET", "/", [1, *NONE[1:]])], [Slot(1, 1, 0)])] * 1)
    assert both.total.requests == 1
