"""Metric families of a collector.

A part that counts is a ``Collector`` of prometheus_client, or owns one. Its counts are its own attributes, so that
several applications of one process do not share them. ``collect`` yields families that these functions build.
"""

from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

Values = float | Mapping[str, float] | Mapping[tuple[str, str], float] | Mapping[tuple[str, str, str], float]
"""One value, or a value for each label, or tuple of labels."""


def counter(name: str, text: str, values: Values, labels: Sequence[str] = ()) -> Metric:
    return _with_samples(CounterMetricFamily, name, text, values, labels)


def gauge(name: str, text: str, values: Values, labels: Sequence[str] = ()) -> Metric:
    return _with_samples(GaugeMetricFamily, name, text, values, labels)


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
