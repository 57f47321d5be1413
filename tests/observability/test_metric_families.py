"""Metric families have one value, or one for each label."""

from collections import Counter

from restwell.observability._metric_families import counter, gauge


def test_a_family_has_one_sample_for_each_label_or_pair_of_labels() -> None:
    """Breaks when a text is taken for several labels."""
    assert [(one.name, one.labels, one.value) for one in counter("c", "A.", {"ab": 2}, ["name"]).samples] == [
        ("c_total", {"name": "ab"}, 2)
    ]
    samples = gauge("g", "A.", {("mail", "ready"): 1, ("mail", "dead"): 0.5}, ["queue", "state"]).samples
    assert [(one.name, one.labels, one.value) for one in samples] == [
        ("g", {"queue": "mail", "state": "ready"}, 1),
        ("g", {"queue": "mail", "state": "dead"}, 0.5),
    ]


def test_a_family_without_labels_has_one_value_and_one_with_labels_may_be_empty() -> None:
    family = counter("c", "A.", 3)
    assert (family.type, family.documentation) == ("counter", "A.")
    assert [(one.name, one.labels, one.value) for one in family.samples] == [("c_total", {}, 3)]
    assert gauge("g", "A.", Counter[str](), ["name"]).samples == []
