"""The pauses of the garbage collector."""

import gc

from restwell.observability._gc_metrics import GcMetrics


def counts(metrics: GcMetrics) -> dict[str, float]:
    (family,) = metrics.collect()
    return {one.labels["generation"]: one.value for one in family.samples if one.name.endswith("_count")}


def test_collections_are_measured_by_generation_until_it_is_closed() -> None:
    """Breaks when the callback stays after the end: each application of a process would add one."""
    metrics, before = GcMetrics(), len(gc.callbacks)
    metrics.start()
    metrics.start()
    assert len(gc.callbacks) == before + 1
    full = counts(metrics)["2"]
    gc.collect()
    gc.collect(0)
    assert counts(metrics)["2"] == full + 1
    assert counts(metrics)["0"] >= 1
    (family,) = metrics.collect()
    assert sum(one.value for one in family.samples if one.name.endswith("_sum")) > 0
    metrics.close()
    metrics.close()
    assert len(gc.callbacks) == before
