"""PromQL expressions are built from the definitions of metrics."""

import pytest

from restwell._dashboards._promql import Source
from restwell.observability import _metric_families
from restwell.observability._metric_families import define_counter, define_gauge, define_histogram

source = Source('job="shop"', "5m")


@pytest.fixture(autouse=True)
def _definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definitions of these tests are not among those of the kit."""
    monkeypatch.setattr(_metric_families, "DEFINITIONS", {})


def test_an_expression_selects_aggregates_and_has_its_window() -> None:
    gauge, counter = define_gauge("g", "A."), define_counter("c_total", "A.")
    assert source.value(gauge, "queue", function="max") == 'max by (queue) (g{job="shop"})'
    assert source.value(gauge) == 'sum(g{job="shop"})'
    assert source.rate(counter, "a", "b", where='x="1"') == ('sum by (a, b) (rate(c_total{job="shop",x="1"}[5m]))')
    assert Source("", "5m").rate(counter) == "sum(rate(c_total[5m]))"


def test_percentiles_means_and_shares_come_from_the_parts_of_a_histogram() -> None:
    histogram, every = define_histogram("h", "A.", bounds=(1.0,)), Source("", "5m")
    assert every.quantile(0.95, histogram, "a") == "histogram_quantile(0.95, sum by (a, le) (rate(h_bucket[5m])))"
    assert every.mean(histogram) == "sum(rate(h_sum[5m])) / sum(rate(h_count[5m]))"
    some, everything = 'sum(rate(h_count{r!="x",s="5xx"}[5m]))', 'sum(rate(h_count{r!="x"}[5m]))'
    share = every.ratio(histogram, where='s="5xx"', part="_count", among='r!="x"')
    assert share == f"({some} or {everything} * 0) / {everything}"
