"""PromQL expressions over the definitions of metrics."""

from restwell.observability._metric_families import MetricDefinition


class Source:
    """Builds expressions with the labels that select the series, and the window of their rates."""

    def __init__(self, selector: str, window: str) -> None:
        self._selector = selector
        self._window = window

    def value(self, metric: MetricDefinition, *by: str, where: str = "", function: str = "sum") -> str:
        return f"{function}{_by(by)}({metric.name}{self._labels(where)})"

    def rate(self, metric: MetricDefinition, *by: str, where: str = "", part: str = "") -> str:
        """Per second. ``part`` of a histogram or summary: ``_count``, of events, or ``_sum``."""
        return f"sum{_by(by)}(rate({metric.name}{part}{self._labels(where)}[{self._window}]))"

    def ratio(self, metric: MetricDefinition, *by: str, where: str, part: str = "", among: str = "") -> str:
        """The share of the events ``where``, among those selected. 0 if there are others only."""
        every = self.rate(metric, *by, part=part, where=among)
        some = self.rate(metric, *by, part=part, where=",".join(filter(None, (among, where))))
        return f"({some} or {every} * 0) / {every}"

    def quantile(self, quantile: float, metric: MetricDefinition, *by: str, where: str = "") -> str:
        """An estimate from the buckets of a histogram."""
        return f"histogram_quantile({quantile}, {self.rate(metric, *by, 'le', where=where, part='_bucket')})"

    def mean(self, metric: MetricDefinition, *by: str, where: str = "") -> str:
        total, count = (self.rate(metric, *by, where=where, part=part) for part in ("_sum", "_count"))
        return f"{total} / {count}"

    def _labels(self, where: str) -> str:
        found = ",".join(filter(None, (self._selector, where)))
        return f"{{{found}}}" if found else ""


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""
