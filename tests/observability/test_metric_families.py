"""Metric families have one value, or one for each label."""

from collections import Counter

import pytest

from restwell.observability import _metric_families
from restwell.observability._metric_families import (
    Histogram,
    define_counter,
    define_gauge,
    define_histogram,
)


@pytest.fixture(autouse=True)
def _definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definitions of these tests are not among those of the kit."""
    monkeypatch.setattr(_metric_families, "DEFINITIONS", {})


def test_a_family_has_one_sample_for_each_label_or_pair_of_labels() -> None:
    """Breaks when a text is taken for several labels."""
    family = define_counter("c_total", "A.", "name").family({"ab": 2})
    assert [(one.name, one.labels, one.value) for one in family.samples] == [("c_total", {"name": "ab"}, 2)]
    samples = define_gauge("g", "A.", "queue", "state").family({("mail", "ready"): 1, ("mail", "dead"): 0.5}).samples
    assert [(one.name, one.labels, one.value) for one in samples] == [
        ("g", {"queue": "mail", "state": "ready"}, 1),
        ("g", {"queue": "mail", "state": "dead"}, 0.5),
    ]


def test_a_family_without_labels_has_one_value_and_one_with_labels_may_be_empty() -> None:
    family = define_counter("c_total", "A.").family(3)
    assert (family.type, family.documentation) == ("counter", "A.")
    assert [(one.name, one.labels, one.value) for one in family.samples] == [("c_total", {}, 3)]
    assert define_gauge("g", "A.", "name").family(Counter[str]()).samples == []


def test_an_observation_that_equals_a_limit_is_in_its_bucket() -> None:
    """Breaks with bisect_right: le means less or equal."""
    one = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        one.observe(value)
    assert (one.counts, one.count, one.sum) == ([2, 2, 1], 5, 7.5)


def test_the_buckets_of_a_histogram_are_cumulative() -> None:
    histogram = Histogram((1.0, 2.5))
    for value in (0.5, 2.0, 2.0, 9.0):
        histogram.observe(value)
    defined = define_histogram("test_cumulative_seconds", "A.", "kind", bounds=(1.0, 2.5))
    samples = defined.histogram([(["x"], histogram)]).samples
    assert [(one.name.removeprefix("test_cumulative_seconds"), one.labels.get("le"), one.value) for one in samples] == [
        ("_bucket", "1.0", 1),
        ("_bucket", "2.5", 3),
        ("_bucket", "+Inf", 4),
        ("_count", None, 4),
        ("_sum", None, 13.5),
    ]
    assert {one.labels["kind"] for one in samples} == {"x"}


def test_a_definition_with_a_name_that_is_not_of_its_kind_or_is_taken_is_refused() -> None:
    with pytest.raises(TypeError, match="counters end with _total"):
        define_counter("test_refused", "A.")
    with pytest.raises(TypeError, match="counters end with _total"):
        define_gauge("test_refused_total", "A.")
    define_gauge("test_taken", "A.")
    with pytest.raises(TypeError, match="two metrics have the name test_taken"):
        define_gauge("test_taken", "B.")
