"""Metrics as figures."""

from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from restwell.observability._metrics import Metrics
from restwell.ops._figures import read_figures

VALUES: Final = {("a", "x"): 1.0, ("a", "y"): 2.0, ("b", "x"): 4.0}


class Two(Collector):
    def collect(self) -> list[Metric]:
        things = CounterMetricFamily("restwell_things", "Things.", labels=["kind", "place"])
        for labels, count in VALUES.items():
            things.add_metric(labels, count)
        return [things, GaugeMetricFamily("other_things", "Others.", 8)]


async def test_figures_are_sums_by_a_label() -> None:
    metrics = Metrics(None)
    metrics.registry.register(Two())
    figures = await read_figures(metrics, "restwell_")
    assert figures.total("restwell_things") == 7
    assert figures.by("restwell_things", "kind") == {"a": 3, "b": 4}
    assert figures.total("other_things") == 0
    assert figures.by("nothing", "kind") == {}
