"""Definitions of metrics, and the metric families of a collector.

A part that counts is a ``Collector`` of prometheus_client, or owns one. Its counts are its own attributes, so that
several applications of one process do not share them. ``collect`` yields families that a MetricDefinition builds.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

Values = (
    float
    | Mapping[str, float]
    | Mapping[tuple[str, str], float]
    | Mapping[tuple[str, str, str], float]
    | Mapping[tuple[str, ...], float]
)
"""One value, or a value for each label, or tuple of labels."""

DEFINITIONS: Final[dict[str, "MetricDefinition"]] = {}
"""All definitions by name. They are constants of modules."""

COUNTER_SUFFIX: Final = "_total"


class TraceExample(Struct, array_like=True, frozen=True):
    """A recent observation of a sampled trace: an exemplar in the terms of OpenMetrics."""

    trace_id: str
    value: float
    at: float


class Series(Struct, array_like=True):
    """One series of a histogram: observations by bucket (not cumulative), their sum, and an example by bucket."""

    labels: dict[str, str]
    counts: list[int]
    sum: float
    examples: dict[int, TraceExample]


class Histogram:
    """Counts the observations of one series. ``bounds`` are the upper limits of its buckets, without infinity."""

    __slots__ = ("bounds", "counts", "examples", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.examples: dict[int, TraceExample] = {}

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class HistogramFamily(Metric):
    """A histogram whose samples are built when they are read: other processes get its much smaller ``series``."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], series: Sequence[Series]) -> None:
        super().__init__(name, text, "histogram")
        self.bounds = bounds
        self.series = series

    @property
    def samples(self) -> list[Sample]:
        limits = [*map(repr, self.bounds), "+Inf"]
        return [sample for one in self.series for sample in _samples_of(self.name, one, limits)]

    @samples.setter
    def samples(self, value: list[Sample]) -> None:
        """Metric assigns an empty list."""


class MetricDefinition(Struct, frozen=True, kw_only=True):
    """What ``/metrics`` says of a metric. Documentation, dashboards and alerts are generated from it.

    ``name`` is that of queries: of a counter it ends with ``_total``, of a histogram or summary without ``_count``.
    """

    kind: Literal["counter", "gauge", "summary", "histogram"]
    name: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "counter") != self.name.endswith(COUNTER_SUFFIX):
            raise TypeError(f"{self.name}: counters end with {COUNTER_SUFFIX}, and no other metrics do")
        if self.name in DEFINITIONS:
            raise TypeError(f"two metrics have the name {self.name}")
        DEFINITIONS[self.name] = self

    def family(self, values: Values) -> Metric:
        """The family of a counter or gauge."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return _with_samples(kind, self.name, self.text, values, self.labels)

    def summary(self, values: Iterable[tuple[Sequence[str], float, float]]) -> Metric:
        """The family of a summary: label values, count and sum of each series."""
        family = SummaryMetricFamily(self.name, self.text, labels=self.labels)
        for labels, count, total in values:
            family.add_metric(labels, count, total)  # type: ignore[arg-type]  # an int, for a count of observations
        return family

    def histogram(self, series: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
        """The family of a histogram: label values of each series."""
        found = [
            Series(dict(zip(self.labels, labels, strict=True)), list(one.counts), one.sum, dict(one.examples))
            for labels, one in series
        ]
        return HistogramFamily(self.name, self.text, self.bounds, found)


def define_counter(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(kind="counter", name=name, text=text, labels=labels)


def define_gauge(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(kind="gauge", name=name, text=text, labels=labels)


def define_summary(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(kind="summary", name=name, text=text, labels=labels)


def define_histogram(name: str, text: str, *labels: str, bounds: tuple[float, ...]) -> MetricDefinition:
    return MetricDefinition(kind="histogram", name=name, text=text, labels=labels, bounds=bounds)


def _with_samples(
    kind: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, values: Values, labels: Sequence[str]
) -> Metric:
    family = kind(name, text, labels=labels)
    if isinstance(values, Mapping):
        for key, value in list(values.items()):  # a label may be added meanwhile
            family.add_metric([key] if isinstance(key, str) else key, value)
    else:
        family.add_metric([], values)
    return family


def _samples_of(name: str, series: Series, limits: Sequence[str]) -> Iterable[Sample]:
    total = 0
    for number, limit in enumerate(limits):
        total += series.counts[number]
        example = series.examples.get(number)
        exemplar = Exemplar({"trace_id": example.trace_id}, example.value, example.at) if example is not None else None
        yield Sample(f"{name}_bucket", {**series.labels, "le": limit}, total, exemplar=exemplar)
    yield Sample(f"{name}_count", series.labels, total)
    yield Sample(f"{name}_sum", series.labels, series.sum)
